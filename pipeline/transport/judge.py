"""Audit as a protocol machine: collects deliveries, has a batch judged, settles or refuses each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from pipeline.delivery import Delivery, Tail
from pipeline.transport import wire
from pipeline.transport.outbox import Act, Outbox, ToUp
from pipeline.transport.settings import Meter, NoMeter, Timing, correlation_of
from pipeline.transport.uplinks import Uplink, Uplinks


class Judged(Protocol):
    """The store's word on one row: settled (then up to `last`) or refused."""

    @property
    def settled(self) -> bool: ...

    @property
    def last(self) -> int: ...

    @property
    def event_id(self) -> bytes: ...

    @property
    def unreadable(self) -> bool:
        """Refused because its bytes make no sense: as if this worker had died on it."""


Append = Callable[[Sequence[Delivery]], Sequence[Judged]]
"""Judges and durably appends a batch, in order, in one transaction."""


Waiting = tuple[Uplink, int, Delivery, int]
"""A received row: its link, link_seq, itself, and when it came (ns)."""


class JudgeStatistics(Struct, frozen=True):
    waiting: int
    received: int
    settled: int
    refused: int
    resets: int


class Judge:
    """One audit worker. It keeps nothing: the store decides, this only answers."""

    def __init__(
        self,
        name: str,
        boot: int,
        append: Append,
        tail: Callable[[str], Tail],
        timing: Timing,
        *,
        batch: int,
        died_in_hand: tuple[str, int] | None = None,
        meter: Meter | None = None,
        lasts: Callable[[Sequence[str]], Sequence[int]] = lambda _: (),
    ) -> None:
        """`lasts` tells the last key_seq of each of some keys."""
        self.name = name
        self._boot = boot
        self._unreadable = 0
        self._append = append
        self._tail = tail
        self._lasts = lasts
        self._batch = batch
        self._meter = meter or NoMeter()
        self._outbox = Outbox()
        self._up = Uplinks(
            boot, timing, self._outbox, died_in_hand, on_message=self._got, on_closed=lambda _: None
        )
        self._waiting: list[Waiting] = []
        self._now_ns = 0
        self._settled = 0
        self._refused = 0

    def from_up(self, address: bytes, frame: wire.Frame, now_ns: int) -> None:
        self._now_ns = now_ns
        self._up.receive(address, frame, now_ns)
        for message in frame.messages:
            if isinstance(message, wire.Ask):
                state = wire.State(message.question, self._tail(message.key))
                self._outbox.send(ToUp(address), state)
            elif isinstance(message, wire.AskLasts):
                lasts = tuple(self._lasts(message.keys)) if message.keys else ()
                self._outbox.send(ToUp(address), wire.Lasts(message.question, self._boot, lasts))

    def work(self, now_ns: int, most: int) -> bool:
        """Judges one batch; whether more is waiting. A batch is what arrived during the one before."""
        size = min(most, self._batch)
        batch, self._waiting = self._waiting[:size], self._waiting[size:]
        batch = [entry for entry in batch if entry[0].holds(entry[2].key, entry[1])]
        if batch:
            for _, _, delivery, since_ns in batch:
                self._meter.consumed(now_ns - since_ns, correlation_of(delivery.event_id))
            results = self._append([entry[2] for entry in batch])
            self._answer(batch, results)
        return bool(self._waiting)

    def _answer(self, batch: list[Waiting], results: Sequence[Judged]) -> None:
        """Settles before it refuses: a refusal covers all that its key sent before it."""
        settled: dict[str, Judged] = {}
        refused: list[tuple[Waiting, bool]] = []
        for entry, judged in zip(batch, results, strict=True):
            link, link_seq, delivery, _ = entry
            link.done(link_seq)
            if not judged.settled:
                refused.append((entry, judged.unreadable))
            elif (best := settled.get(delivery.key)) is None or judged.last > best.last:
                settled[delivery.key] = judged
        for key, judged in settled.items():
            for link in self._up:
                link.settle(key, judged.last, judged.event_id)
        for (link, link_seq, delivery, _), unreadable in refused:
            if link.holds(delivery.key, link_seq):
                if unreadable:
                    self._unreadable += 1
                    for other in self._up:
                        other.died(delivery.key, delivery.key_seq, self.name, self._boot + self._unreadable)
                link.refuse(delivery.key, link_seq)
        self._settled += len(batch) - len(refused)
        self._refused += len(refused)

    def _got(self, link: Uplink, link_seq: int, delivery: Delivery) -> None:
        self._waiting.append((link, link_seq, delivery, self._now_ns))

    def tick(self, now_ns: int) -> None:
        self._now_ns = now_ns
        self._up.tick(now_ns)

    def take(self, now_ns: int) -> list[Act]:
        self._now_ns = now_ns
        return self._outbox.take()

    def leave(self) -> None:
        self._up.leave()

    @property
    def due_ns(self) -> None:
        """Nothing is ever due by itself."""
        return None

    @property
    def drained(self) -> bool:
        return self._up.leaving and not self._up.depth

    @property
    def depth(self) -> int:
        return len(self._waiting)

    def lags_ns(self, now_ns: int) -> dict[int, int]:  # noqa: ARG002 - the shape of every node
        """Audit sends to nobody."""
        return {}

    def statistics(self) -> JudgeStatistics:
        return JudgeStatistics(
            waiting=len(self._waiting),
            received=self._up.depth,
            settled=self._settled,
            refused=self._refused,
            resets=self._up.resets,
        )
