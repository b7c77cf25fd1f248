"""A receiver's ends of its links: sessions, what was received and is not settled yet, acknowledgements."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline import limits
from pipeline.delivery import Delivery
from pipeline.transport import wire
from pipeline.transport.outbox import Outbox, ToUp
from pipeline.transport.settings import Timing


class Uplink:
    """One session of one sender. `table` has what it sent and is neither settled nor refused."""

    __slots__ = (
        "_ack_seq",
        "_outbox",
        "closed",
        "heard_ns",
        "held",
        "received",
        "sender",
        "session",
        "table",
        "target",
        "version",
    )

    def __init__(
        self, sender: str, address: bytes, session: wire.Session, outbox: Outbox, now_ns: int
    ) -> None:
        self.sender = sender
        self.target = ToUp(address)
        self.session = session
        self.heard_ns = now_ns
        self.received = 0
        self.closed = False
        self.held = 0
        """Messages in `table`."""
        self.version = wire.PROTOCOL_VERSION
        """Spoken on it."""
        self.table: dict[str, dict[int, int]] = {}
        """key → link_seq → key_seq"""
        self._ack_seq = 0
        self._outbox = outbox

    @property
    def ack_seq(self) -> int:
        return self._ack_seq

    @property
    def depth(self) -> int:
        return self.held

    def holds(self, key: str, link_seq: int) -> bool:
        """Whether that message still waits for its answer; work and outputs live no longer than that."""
        if self.closed:
            return False
        entries = self.table.get(key)
        return entries is not None and link_seq in entries

    def done(self, link_seq: int) -> None:
        if not self.closed:
            self._ack_seq = ack_seq = self._ack_seq + 1
            self._outbox.send(self.target, wire.Done(ack_seq, link_seq), self.session)

    def settle(self, key: str, last: int, event_id: bytes) -> None:
        """Settles everything of `key` up to `last`, if it has any."""
        entries = self.table.get(key)
        if entries is None:
            return
        kept = {link_seq: key_seq for link_seq, key_seq in entries.items() if key_seq > last}
        if len(kept) == len(entries):
            return
        self._keep(key, kept)
        self._send(wire.Settled(self._next(), key, last, self.received, event_id))

    def refuse(self, key: str, upto: int) -> bool:
        """Refuses everything of `key` that was sent up to link_seq `upto`; whether there was any."""
        entries = self.table.get(key)
        if entries is None:
            return False
        refused = [link_seq for link_seq in entries if link_seq <= upto]
        if not refused:
            return False
        self._keep(key, {link_seq: n for link_seq, n in entries.items() if link_seq > upto})
        self._send(wire.Refused(self._next(), key, max(refused)))
        return True

    def died(self, key: str, key_seq: int, worker: str, boot: int) -> None:
        self._send(wire.Died(self._next(), key, key_seq, worker, boot))

    def goodbye(self) -> None:
        self._send(wire.Goodbye(self._next()))

    def _keep(self, key: str, entries: dict[int, int]) -> None:
        self.held -= len(self.table[key]) - len(entries)
        if entries:
            self.table[key] = entries
        else:
            del self.table[key]

    def _next(self) -> int:
        self._ack_seq += 1
        return self._ack_seq

    def _send(self, message: wire.Message) -> None:
        self._outbox.send(self.target, message, self.session)


class Uplinks:
    """All sessions of upstream workers.

    `on_message(uplink, link_seq, delivery)` is called for each new message in the order of its link,
    `on_closed(uplink)` when a session ended.
    """

    def __init__(
        self,
        boot: int,
        timing: Timing,
        outbox: Outbox,
        died_in_hand: tuple[str, int] | None,
        *,
        on_message: Callable[[Uplink, int, Delivery], None],
        on_closed: Callable[[Uplink], None],
    ) -> None:
        self._boot = boot
        self._timing = timing
        self._outbox = outbox
        self._died = died_in_hand
        self._on_message = on_message
        self._on_closed = on_closed
        self._by_sender: dict[str, Uplink] = {}
        self._by_address: dict[bytes, Uplink] = {}
        self.leaving = False
        self.resets = 0

    def receive(self, address: bytes, frame: wire.Frame, now_ns: int) -> None:
        """A frame from the peer at `address`; answers go back there."""
        session, links = frame.session, self._by_address
        for message in frame.messages:
            kind = type(message)
            if kind is not wire.Msg and kind is not wire.Ping:
                if kind is wire.Hello:
                    self._hello(address, session, message, now_ns)  # type: ignore[arg-type]
                continue
            link = links.get(address)
            if link is None or link.session != session:
                self._reset(address, session)
                return
            if kind is wire.Ping:
                if self._lost(link, message.link_seq):  # type: ignore[union-attr]
                    self._reset(address, session, link)
                    return
                link.heard_ns = now_ns
                self._outbox.send(link.target, wire.Pong(self._boot, link.ack_seq), session)
            elif not self._message(link, message, now_ns):  # type: ignore[arg-type]
                return

    def _hello(self, address: bytes, session: wire.Session, hello: wire.Hello, now_ns: int) -> None:
        old = self._by_sender.get(hello.sender)
        if old is not None:
            if old.session >= session:
                return
            self.close(old)
        elif len(self._by_sender) >= limits.MAX_SENDERS:
            self._reset(address, session)
            return
        link = Uplink(hello.sender, address, session, self._outbox, now_ns)
        link.version = wire.spoken(hello.version)
        self._by_sender[hello.sender] = self._by_address[address] = link
        welcome = wire.Welcome(self._boot, self._timing.credit, self.leaving, self._died)
        self._outbox.send(link.target, welcome, session)

    def _message(self, link: Uplink, message: wire.Msg, now_ns: int) -> bool:
        link_seq = message.link_seq
        if link_seq <= link.received:
            return True
        if link_seq != link.received + 1 and self._lost(link, link_seq - 1):
            self._reset(link.target.address, link.session, link)
            return False
        if link.held >= limits.MAX_CREDIT:  # no sender of ours goes beyond its credit
            self._reset(link.target.address, link.session, link)
            return False
        link.received = link_seq
        link.held += 1
        link.heard_ns = now_ns
        delivery = message.delivery
        entries = link.table.get(delivery.key)
        if entries is None:
            link.table[delivery.key] = {link_seq: delivery.key_seq}
        else:
            entries[link_seq] = delivery.key_seq
        self._on_message(link, link_seq, delivery)
        return True

    @staticmethod
    def _lost(link: Uplink, sent: int) -> bool:
        """Whether anything up to link_seq `sent` is missing: then the session is over."""
        return sent > link.received

    def _reset(self, address: bytes, session: wire.Session, link: Uplink | None = None) -> None:
        self.resets += 1
        if link is not None:
            self.close(link)
        self._outbox.send(ToUp(address), wire.Reset(self._boot), session)

    def close(self, link: Uplink) -> None:
        """Ends a session here: its queue and its unsent outputs go with it."""
        link.closed = True
        if self._by_sender.get(link.sender) is link:
            del self._by_sender[link.sender]
        if self._by_address.get(link.target.address) is link:
            del self._by_address[link.target.address]
        self._on_closed(link)

    def tick(self, now_ns: int) -> None:
        """Closes sessions whose sender has been silent for twice the time after which links are dead."""
        for link in self:
            if now_ns - link.heard_ns > 2 * self._timing.dead_after_ns:
                self.close(link)

    def leave(self) -> None:
        self.leaving = True
        for link in self:
            link.goodbye()

    def __iter__(self) -> Iterator[Uplink]:
        return iter(list(self._by_sender.values()))

    @property
    def depth(self) -> int:
        """Messages received and neither settled nor refused."""
        return sum(link.depth for link in self._by_sender.values())
