"""A sender's ends of its links: sessions, credit, what is in flight, which link a key takes.

Pure: bytes and time come in by method calls, actions leave by the outbox. The rules are
those of ARCHITECTURE.md, "The link protocol", each with its reason where it acts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from pipeline import limits
from pipeline.delivery import Delivery
from pipeline.transport import wire
from pipeline.transport.outbox import Outbox, ToDown
from pipeline.transport.rendezvous import weight
from pipeline.transport.settings import Timing

SKIPPING_BEATS = 6
"""With dead_after at least this many heartbeats, a link with nothing in flight is pinged at every second one:
two may still be late, and an idle pipeline does half the work."""
_ACKNOWLEDGEMENTS = frozenset((wire.Done, wire.Settled, wire.Refused, wire.Died, wire.Goodbye))


class Flight(Struct, gc=False):
    """A message sent and not yet settled or refused. `since_ns`: when it was ready to be sent."""

    key: str
    key_seq: int
    since_ns: int
    done: bool = False


class Downlink:
    """One session with one downstream worker."""

    __slots__ = (
        "ack_seq", "boot", "by_key", "credit", "flights", "leaving", "link_seq", "ordinal", "pong_ns",
        "session", "target", "up", "version",
    )  # fmt: skip

    def __init__(self, ordinal: int, session: wire.Session, now_ns: int) -> None:
        self.ordinal = ordinal
        self.session = session
        self.target = ToDown(ordinal, session)
        self.up = False
        self.leaving = False
        self.boot = 0
        self.version = 0
        """Spoken on it; 0 while that is unknown."""
        self.credit = 0
        self.link_seq = 0
        self.ack_seq = 0
        self.pong_ns = now_ns
        self.flights: dict[int, Flight] = {}
        self.by_key: dict[str, list[int]] = {}

    @property
    def free(self) -> int:
        """Messages that may still be sent."""
        return self.credit - len(self.flights)

    def land(self, key: str, last: int | None, upto: int) -> None:
        """Takes out what `upto` covers of `key`, up to key_seq `last` (None: all). Returns its credit.

        `upto` names what the receiver had seen: a message still on the wire keeps its credit.
        """
        seqs = self.by_key.get(key)
        if seqs is None:
            return
        kept = []
        flights = self.flights
        for link_seq in seqs:
            if link_seq <= upto and (last is None or flights[link_seq].key_seq <= last):
                del flights[link_seq]
            else:
                kept.append(link_seq)
        if kept:
            self.by_key[key] = kept
        else:
            del self.by_key[key]

    def oldest_ns(self) -> int | None:
        """Since when the oldest message waits that is not `done`; None when all are."""
        return min((flight.since_ns for flight in self.flights.values() if not flight.done), default=None)


class DownlinkStatistics(Struct, frozen=True):
    """One link as its sender sees it."""

    ordinal: int
    up: bool
    leaving: bool
    credit: int
    free: int
    oldest_ns: int | None
    in_flight: int = 0
    version: int = 0
    """Spoken on it; 0: not known yet."""
    sent: int = 0
    """Messages since the link was opened."""


class Downlinks:
    """All links to the next stage.

    The owner is told through callbacks: `on_settled(key, last, event_id)`, `on_refused(key)` (also for
    everything in flight on a link that died), `on_died(key, key_seq, worker, boot)` and `on_change()` when
    a link came up, died or is leaving.
    """

    def __init__(
        self,
        sender: str,
        stage: str,
        boot: int,
        timing: Timing,
        outbox: Outbox,
        *,
        on_settled: Callable[[str, int, bytes], None],
        on_refused: Callable[[str], None],
        on_died: Callable[[str, int, str, int], None],
        on_change: Callable[[], None],
    ) -> None:
        self._sender = sender
        self._stage = stage
        self._boot = boot
        self._timing = timing
        self._outbox = outbox
        self._on_settled = on_settled
        self._on_refused = on_refused
        self._on_died = on_died
        self._on_change = on_change
        self._sessions = 0
        self._ping_idle = False
        """Whether links with nothing in flight are pinged this time."""
        self._can_skip = timing.dead_after_ns >= SKIPPING_BEATS * timing.heartbeat_ns
        self._members: tuple[int, ...] = ()
        self._links: dict[int, Downlink] = {}
        self._routes: dict[str, Downlink] = {}
        self._best: dict[str, Downlink | None] = {}
        self._orphaned: dict[int, int] = {}
        """Ordinals whose link died with work not done: since when its oldest message waited, ns."""
        self.links_lost = 0

    # ---- membership and time

    def set_members(self, ordinals: Iterable[int]) -> None:
        """The ordinals to connect to. Absence never closes a link: only GOODBYE and silence do."""
        self._members = tuple(sorted(ordinals))
        for gone in self._orphaned.keys() - set(self._members):
            del self._orphaned[gone]

    def tick(self, now_ns: int) -> None:
        """Opens what is missing, pings what is up, buries what is silent. Call once a heartbeat."""
        self._ping_idle = not (self._can_skip and self._ping_idle)
        for ordinal in self._members:
            if ordinal not in self._links:
                self._open(ordinal, now_ns)
        for link in list(self._links.values()):
            if now_ns - link.pong_ns > self._timing.dead_after_ns:
                self._bury(link)
            elif link.up and (link.flights or self._ping_idle):
                self._outbox.send(link.target, wire.Ping(link.link_seq), link.session)

    def _open(self, ordinal: int, now_ns: int) -> None:
        self._sessions += 1
        link = Downlink(ordinal, (self._boot, self._sessions), now_ns)
        self._links[ordinal] = link
        self._outbox.open(link.target)
        self._outbox.send(link.target, wire.Hello(self._sender), link.session)

    def _bury(self, link: Downlink) -> None:
        """Everything in flight on a dead link is refused: it may be done or not, nobody can tell."""
        if self._links.get(link.ordinal) is link:
            del self._links[link.ordinal]
        self.links_lost += 1
        since_ns = link.oldest_ns()
        if since_ns is not None:
            self._orphaned.setdefault(link.ordinal, since_ns)
        self._outbox.close(link.target)
        self._changed()
        for key in sorted(link.by_key):
            self._on_refused(key)
        self._on_change()

    def _changed(self) -> None:
        self._best.clear()

    # ---- sending

    def route(self, key: str) -> Downlink | None:
        """The link that `key` takes now; None while it has none or must wait.

        A key changes its worker only with nothing of it in flight, or when its link is dead.
        """
        best = self._best.get(key)
        if best is None and key not in self._best:
            best = self._best[key] = self._choose(key)
        current = self._routes.get(key)
        if current is best and best is not None:
            return best
        if current is not None and self._links.get(current.ordinal) is current and key in current.by_key:
            return None
        if best is not None:
            self._routes[key] = best
        return best

    def _choose(self, key: str) -> Downlink | None:
        live = [link for link in self._links.values() if link.up and not link.leaving]
        if len(live) < 2:
            return live[0] if live else None
        return max(live, key=lambda link: (weight(key, link.ordinal), link.ordinal))

    def routed(self, key: str) -> Downlink | None:
        """The link that `key` took last, dead or alive."""
        return self._routes.get(key)

    def forget(self, key: str) -> None:
        """Drops what is remembered of a key with nothing in flight, so that idle keys cost nothing."""
        link = self._routes.get(key)
        if link is None or key not in link.by_key:
            self._routes.pop(key, None)
            self._best.pop(key, None)

    def transmit(self, link: Downlink, delivery: Delivery, since_ns: int) -> None:
        """Sends; the caller has checked `link.free`."""
        link.link_seq = link_seq = link.link_seq + 1
        key = delivery.key
        link.flights[link_seq] = Flight(key, delivery.key_seq, since_ns)
        seqs = link.by_key.get(key)
        if seqs is None:
            link.by_key[key] = [link_seq]
        else:
            seqs.append(link_seq)
        self._outbox.send(link.target, wire.Msg(link_seq, delivery), link.session)

    # ---- receiving

    def receive(self, ordinal: int, frame: wire.Frame, now_ns: int) -> None:
        """A frame from downstream worker `ordinal`."""
        links, session = self._links, frame.session
        for message in frame.messages:
            link = links.get(ordinal)
            if link is None or link.session != session:
                return
            kind = type(message)
            if kind in _ACKNOWLEDGEMENTS:
                self._acknowledged(link, message, kind, now_ns)  # type: ignore[arg-type]
            elif kind is wire.Welcome:
                self._welcomed(link, message, now_ns)  # type: ignore[arg-type]
            elif kind is wire.Pong:
                link.pong_ns = now_ns
                lost = self._lost(link, message.ack_seq)  # type: ignore[union-attr]
                if message.boot != link.boot or lost:  # type: ignore[union-attr]
                    self._bury(link)
            elif kind is wire.Reset:
                self._bury(link)

    def _welcomed(self, link: Downlink, message: wire.Welcome, now_ns: int) -> None:
        link.up = True
        link.boot = message.boot
        link.version = wire.spoken(message.version)
        link.credit = max(1, min(message.credit, limits.MAX_CREDIT))
        link.leaving = message.leaving
        link.pong_ns = now_ns
        self._orphaned.pop(link.ordinal, None)
        self._changed()
        if message.died is not None:
            key, key_seq = message.died
            self._on_died(key, key_seq, f"{self._stage}-{link.ordinal}", message.boot)
        self._on_change()

    def _acknowledged(self, link: Downlink, message: wire.Acknowledgement, kind: type, now_ns: int) -> None:
        ack_seq = message.ack_seq
        if ack_seq <= link.ack_seq:
            return
        if ack_seq != link.ack_seq + 1 and self._lost(link, ack_seq - 1):
            self._bury(link)
            return
        link.ack_seq = ack_seq
        link.pong_ns = now_ns
        # The two that come with every message first: a match tries its cases one by one.
        if kind is wire.Done:
            if flight := link.flights.get(message.link_seq):  # type: ignore[union-attr]
                flight.done = True
            return
        match message:
            case wire.Settled():
                link.land(message.key, message.last, message.upto)
                self._on_settled(message.key, message.last, message.event_id)
            case wire.Refused():
                link.land(message.key, None, message.upto)
                self._on_refused(message.key)
            case wire.Died():
                self._on_died(message.key, message.key_seq, message.worker, message.boot)
            case wire.Goodbye():
                link.leaving = True
                self._changed()
                self._on_change()

    @staticmethod
    def _lost(link: Downlink, said: int) -> bool:
        """Whether any acknowledgement up to ack_seq `said` is missing: then the session is over."""
        return said > link.ack_seq

    # ---- looking

    def __iter__(self) -> Iterator[Downlink]:
        return iter(list(self._links.values()))

    @property
    def clogged(self) -> bool:
        """No link could take a message now: none is up, or none has credit."""
        return not any(link.up and link.free > 0 for link in self._links.values())

    def oldest_ns(self) -> dict[int, int | None]:
        """By ordinal, since when the oldest message waits that is not `done` there. Where a link died, what
        it had not done still counts until the worker is back: it is destined for nobody else yet."""
        oldest: dict[int, int | None] = {link.ordinal: link.oldest_ns() for link in self._links.values()}
        for ordinal, since_ns in self._orphaned.items():
            known = oldest.get(ordinal)
            oldest[ordinal] = since_ns if known is None else min(known, since_ns)
        return oldest

    @property
    def in_flight(self) -> int:
        return sum(len(link.flights) for link in self._links.values())

    def statistics(self) -> tuple[DownlinkStatistics, ...]:
        return tuple(
            DownlinkStatistics(
                link.ordinal,
                link.up,
                link.leaving,
                link.credit,
                max(0, link.free),
                link.oldest_ns(),
                len(link.flights),
                link.version,
                link.link_seq,
            )
            for _, link in sorted(self._links.items())
        )
