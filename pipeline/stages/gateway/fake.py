"""Doubles for tests of ours and of users: a journal in memory, instruments that accept everything."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from pipeline.clock import Clock
from pipeline.delivery import Delivery
from pipeline.errors import RinglineError
from pipeline.messages import BUY, SELL, Candle, CandleIn, Control, ControlIn, Event, EventIn, Fate, Signal

FINGERPRINT_BYTES = 16


class MemoryFullError(RinglineError):
    """No more for now."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"journal: full; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class MemoryKnown:
    """As `journal.Known`; `synced` follows its journal."""

    __slots__ = ("_journal", "event_id", "fingerprint", "jno")

    def __init__(self, journal: MemoryJournal, jno: int, fingerprint: bytes, event_id: bytes) -> None:
        self._journal = journal
        self.jno = jno
        self.fingerprint = fingerprint
        self.event_id = event_id

    @property
    def synced(self) -> bool:
        return self._journal.synced >= self.jno


class MemoryAccepted(NamedTuple):
    jno: int
    event_id: bytes
    deliveries: list[Delivery]


class Origin(NamedTuple):
    """What all deliveries of one event share."""

    event_id: bytes
    source: str
    webhook_id: str
    payload: bytes
    traceparent: str
    checks: bytes


class MemoryJournal:
    """A journal that forgets everything with its process and never fills, unless told to.

    `refuse` is raised by the next `accept`s, `fail` by the next `sync`s; `hold` makes `sync` wait until
    `release`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], MemoryKnown] = {}
        self._key_seqs: dict[str, int] = {}
        self._births: dict[str, Origin] = {}
        self._open = threading.Event()
        self._open.set()
        self.appended = 0
        self.synced = 0
        self.syncs = 0
        self.depth = 0
        self.bytes_used = 0
        self.oldest_accepted_us: int | None = None
        self.refuse: Exception | None = None
        self.fail: Exception | None = None

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def forget(self) -> None:
        """All that was accepted is past its retention, and all keys are new again."""
        self._known.clear()
        self._key_seqs.clear()
        self._births.clear()

    def lookup(self, source: str, webhook_id: str) -> MemoryKnown | None:
        return self._known.get((source, webhook_id))

    def accept(
        self,
        source: str,
        webhook_id: str,
        fingerprint: bytes,
        key: str | None,
        payload: bytes,
        births: Mapping[str, bytes] | None = None,
        traceparent: str = "",
        checks: bytes = b"",
    ) -> MemoryAccepted:
        if self.refuse is not None:
            raise self.refuse
        if len(fingerprint) != FINGERPRINT_BYTES or (source, webhook_id) in self._known:
            raise ValueError(f"{webhook_id}: known already, or a fingerprint of {len(fingerprint)} bytes")
        self.appended += 1
        event_id = hashlib.sha256(f"{source},{webhook_id},{self.appended}".encode()).digest()[:16]
        origin = Origin(event_id, source, webhook_id, payload, traceparent, checks)
        if key is None:
            deliveries = [self._delivery(known, origin) for known in self._key_seqs]
            self._inherit(origin, births or {})
        else:
            origins = [*(() if key in self._key_seqs else self._births.values()), origin]
            deliveries = [self._delivery(key, each) for each in origins]
        known = MemoryKnown(self, self.appended, fingerprint, event_id)
        self._known[source, webhook_id] = known
        self.depth += len(deliveries)
        self.bytes_used += len(payload)
        return MemoryAccepted(self.appended, event_id, deliveries)

    def sync(self) -> int:
        appended = self.appended
        self._open.wait()
        if self.fail is not None:
            raise self.fail
        self.syncs += 1
        self.synced = appended
        return appended

    @property
    def controls(self) -> Mapping[str, bytes]:
        return {aspect: origin.payload for aspect, origin in self._births.items()}

    def _inherit(self, origin: Origin, births: Mapping[str, bytes]) -> None:
        for aspect, payload in births.items():
            self._births.pop(aspect, None)
            if payload:
                self._births[aspect] = origin._replace(payload=payload)

    def _delivery(self, key: str, origin: Origin) -> Delivery:
        event_id, source, webhook_id, payload, traceparent, checks = origin
        key_seq = self._key_seqs[key] = self._key_seqs.get(key, 0) + 1
        accepted_us = self._clock.wall_us()
        return Delivery(
            key, key_seq, event_id, source, webhook_id, accepted_us, int(Fate.LIVE), payload,
            traceparent=traceparent, checks=checks,
        )  # fmt: skip


class EasyInstruments:
    """Takes every symbol with four decimals and checks nothing beyond that."""

    def inside(self, event_in: EventIn) -> Event:
        if isinstance(event_in, ControlIn):
            return Control(str(event_in.action), event_in.reason)
        if isinstance(event_in, CandleIn):
            prices = (event_in.open, event_in.high, event_in.low, event_in.close, event_in.volume)
            return Candle(event_in.symbol, 0, *map(_scaled, prices))
        side = {"buy": BUY, "sell": SELL}.get(event_in.side, 0)
        quantity, price = _scaled(event_in.quantity or "0"), _scaled(event_in.price or "0")
        return Signal(event_in.symbol, event_in.strategy, side, quantity, price)


def _scaled(text: str) -> int:
    return int(Decimal(text).scaleb(4))
