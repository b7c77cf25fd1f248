"""The two ends of one link, each in a process of its own, on the product's nodes and sockets.

The sender is the gateway's dispatcher, the receiver an audit's judge over a store that takes everything at
once: so every message gets both acknowledgements, `done` and `settled`, and nothing but the link is measured.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple

from pipeline.clock import NS_PER_MS, SystemClock
from pipeline.config.schema import Links
from pipeline.delivery import Delivery, Tail
from pipeline.messages import Fate
from pipeline.transport.curve import LinkKeys
from pipeline.transport.dispatcher import Dispatcher
from pipeline.transport.judge import Judge
from pipeline.transport.loop import Loop
from pipeline.transport.members import FixedMembers
from pipeline.transport.settings import NoMeter, Timing
from pipeline.transport.sockets import Sockets, frame_of

KEYS = 64
PAYLOAD = bytes(96)
"""A candle as the gateway encodes it takes about this much."""
AHEAD = 1024
"""Messages that wait for credit: enough that the link never runs dry."""


class Taken(NamedTuple):
    """A store's word, as the judge wants it."""

    settled: bool
    last: int
    event_id: bytes
    unreadable: bool = False


class Report(NamedTuple):
    """What the receiver saw: rows, its processor time, and each message's way here (ns), where noted."""

    rows: int
    cpu_s: float
    one_way_ns: list[int]


class _PipeFlag:
    """Asked to leave by a byte in a pipe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def is_set(self) -> bool:
        return self._connection.poll()

    @property
    def fd(self) -> int:
        return self._connection.fileno()


def serve(where: str, credit: int, keys: LinkKeys, talk: Connection) -> None:
    """The receiver's process: until a byte comes, then its Report goes back."""
    one_way_ns: list[int] = []
    rows = 0

    def take(batch: Sequence[Delivery]) -> list[Taken]:
        nonlocal rows
        rows += len(batch)
        if batch[0].accepted_us:
            now_ns = time.monotonic_ns()
            one_way_ns.extend(now_ns - delivery.accepted_us for delivery in batch)
        return [Taken(True, delivery.key_seq, delivery.event_id) for delivery in batch]

    clock, timing, meter = SystemClock(), timing_of(credit), NoMeter()
    batch = batch_of(credit)
    judge = Judge("audit-0", clock.wall_us(), take, no_tail, timing, batch=batch)
    sockets = Sockets("audit-0", 1, bind=where, keys=keys)
    talk.send_bytes(b"listening")
    started = time.process_time()
    try:
        Loop(judge, sockets, clock, _PipeFlag(talk), timing, meter, drain_s=1, work_a_turn=batch).run()
    finally:
        sockets.close()
    talk.send(Report(rows, time.process_time() - started, one_way_ns))


def batch_of(credit: int) -> int:
    """What the receiver answers at once: half the credit. With all of it the two ends would take turns, for
    the sender has nothing to do until it is answered; agents and execs answer less at once (WORK_A_TURN)."""
    return max(1, credit // 2)


def no_tail(key: str) -> Tail:
    return Tail(key, 0)


def timing_of(credit: int) -> Timing:
    return Timing.of(Links(credit=credit, depth=credit // 4 if credit < 1024 else 256))


class Sender:
    """The sending end, in the caller's process; turned by whoever measures."""

    def __init__(self, where: str, credit: int, keys: LinkKeys) -> None:
        clock = self._clock = SystemClock()
        self._timing = timing_of(credit)
        self._members = FixedMembers({0: where})
        self._sockets = Sockets("gateway-0", clock.wall_us(), bind=None, downstream=self._members, keys=keys)
        self._dispatcher = Dispatcher(
            "gateway-0", clock.wall_us(), self._timing,
            on_settled=self._count, on_fate=self._no_fate, on_alarm=self._no_alarm,
        )  # fmt: skip
        self._beat_ns = 0
        self._seqs = dict.fromkeys((f"KEY{number}" for number in range(KEYS)), 0)
        self._names = list(self._seqs)
        self.sent = 0
        self.settled = 0

    def add(self, stamp: bool = False) -> None:
        """One more message, of the next key in turn; `stamp`: it says when it began."""
        key = self._names[self.sent % KEYS]
        seq = self._seqs[key] = self._seqs[key] + 1
        self.sent += 1
        now_ns = self._clock.monotonic_ns()
        delivery = Delivery(
            key, seq, self.sent.to_bytes(16), "bench", f"msg-{self.sent}",
            now_ns if stamp else 0, int(Fate.LIVE), PAYLOAD,
        )  # fmt: skip
        self._dispatcher.enqueue(delivery, now_ns, enqueued_ns=now_ns)

    def turn(self, wait_ms: int = 0) -> None:
        """Sends what may go, waits for up to `wait_ms`, takes what came and sends what that lets go: as the
        gateway does, which makes the next messages while the other end works on these."""
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._beat_ns:
            self._beat_ns = now_ns + self._timing.heartbeat_ns
            self._dispatcher.set_members(self._members.endpoints())
            self._dispatcher.tick(now_ns)
        self._sockets.carry_out(self._dispatcher.take(now_ns))
        if self._sockets.poll(min(wait_ms, max(0, (self._beat_ns - now_ns) // NS_PER_MS))):
            now_ns = self._clock.monotonic_ns()
            for _, ordinal, data in self._sockets.receive():
                frame = frame_of(data, NoMeter())
                if frame is not None:
                    self._dispatcher.from_down(ordinal, frame, now_ns)  # type: ignore[arg-type]
            self._sockets.carry_out(self._dispatcher.take(now_ns))

    def until(self, settled: int, ahead: int = AHEAD) -> None:
        """Sends until `settled` messages are, keeping the link full."""
        while self.settled < settled:
            for _ in range(min(ahead - (self.sent - self.settled), settled - self.sent)):
                self.add()
            self.turn(5)

    def close(self) -> None:
        self._sockets.close()

    def _count(self, _pending: object) -> None:
        self.settled += 1

    def _no_fate(self, key: str, key_seq: int, fate: Fate) -> None:
        raise AssertionError(f"{key}:{key_seq} ends as {fate}")

    def _no_alarm(self, text: str) -> None:
        raise AssertionError(text)
