"""One ring as a collector knows it: its reader, and what must be remembered between two batches."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from pipeline import limits
from pipeline.clock import NS_PER_S
from pipeline.telemetry.events import EventID, event_name, name_event, split_worker
from pipeline.telemetry.layout import (
    CORRELATION_MASK,
    CORRELATION_SHIFT,
    DURATION,
    EVENT_MASK,
    KIND_MASK,
    KIND_SHIFT,
    START,
)
from pipeline.telemetry.reader import RingReader, sequences
from pipeline.telemetry.ring_words import Entries
from pipeline.telemetry.sketch import Ints
from pipeline.telemetry.windows import Indices

_CPU = int(EventID.CPU)
FIRST_OWN_ID = limits.MAX_EVENT_ID + 1
LAST_OWN_ID = limits.MAX_EVENT_ID + limits.MAX_NAMED_EVENTS
CPU_HISTORY = 32
CPU_SPAN_NS = 1 * NS_PER_S
"""A processor percentage is taken over at least this long, if so much history is there."""
_SUBJECT_MASK = ~((1 << CORRELATION_SHIFT) - 1) | EVENT_MASK
_MIX = np.int64(0x9E3779B97F4A7C1)
"""An odd number; spreads event and correlation over the word, so that they rarely cancel times out."""


class OwnEvents:
    """Events of users' own by name, each with one id for all rings of this reader."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def id_of(self, name: str) -> int:
        """Beyond the ids that a ring can have; 0, which is refused, when there are too many."""
        if name not in self._ids:
            if len(self._ids) >= limits.MAX_NAMED_EVENTS:
                return 0
            self._ids[name] = FIRST_OWN_ID + len(self._ids)
            name_event(self._ids[name], name)
        return self._ids[name]


class Death(NamedTuple):
    """A writer that ended without a word."""

    name: str
    pid: int
    silent_ms: float
    """From its last sign of life until this was seen."""
    inside: tuple[str, ...]
    """What it was doing, the innermost last."""
    seen_ns: int
    """When, on the monotonic clock."""


class Source:
    """A ring being drained."""

    def __init__(self, reader: RingReader) -> None:
        self.reader = reader
        self.worker = reader.identity.worker
        self.stage, self.ordinal = split_worker(self.worker)
        self._last_entry_ns = 0
        self.gauges: dict[tuple[int, int], tuple[int, int]] = {}
        """(event id, correlation) → (time ns, value)."""
        self.cpu: deque[tuple[int, int]] = deque(maxlen=CPU_HISTORY)
        """(time ns, processor time ns), oldest first."""
        self.own_ids: Ints | None = None
        """Event id in this ring → event id in this reader; None while the ring names no events of its own."""
        self.series: Indices | None = None
        """Event id in this ring → series, kept here by `Aggregate` while the ring names events of its own."""
        self._open: dict[int, tuple[int, int]] = {}
        """Open STARTs: key → (time ns, what), oldest first."""

    def last_sign_ns(self, now_ns: int) -> int:
        """The last heartbeat or entry; a heartbeat of the future counts as now."""
        return max(self._last_entry_ns, min(self.reader.heartbeat_ns, now_ns))

    def note_sign(self, at_ns: int) -> None:
        """An entry of this time was read."""
        self._last_entry_ns = max(self._last_entry_ns, at_ns)

    def set_gauge(self, event_id: int, correlation: int, at_ns: int, value: int) -> bool:
        """Keep the newest value; False when there are too many gauges."""
        key = (event_id, correlation)
        if key not in self.gauges and len(self.gauges) >= limits.MAX_COUNTERS:
            return False
        self.gauges[key] = (at_ns, value)
        if event_id == _CPU:
            self.cpu.append((at_ns, value))
        return True

    def cpu_percent(self) -> float | None:
        """Processor time over the last second or a little more, 100 = one core; None until two samples."""
        if len(self.cpu) < 2:
            return None
        newest_ns, newest_cpu = self.cpu[-1]
        for at_ns, cpu in reversed(self.cpu):
            base_ns, base_cpu = at_ns, cpu
            if newest_ns - at_ns >= CPU_SPAN_NS:
                break
        if newest_ns <= base_ns:
            return None
        return max(0.0, 100.0 * (newest_cpu - base_cpu) / (newest_ns - base_ns))

    def learn_names(self, known: OwnEvents) -> None:
        """Look whether the ring names more events. Raises RefusedRingError."""
        if names := self.reader.new_names():
            own = np.arange(limits.MAX_EVENT_ID + 1, dtype=np.int64)
            for event_id, name in names.items():
                own[event_id] = known.id_of(name)
            self.own_ids = own
            self.series = None

    @property
    def plain(self) -> bool:
        """True while nothing is remembered that a DURATION could change."""
        return not self._open

    def note_starts(self, kinds: Ints, entries: Entries) -> None:
        """Keep the STARTs that no DURATION of the same event, correlation and start time has closed."""
        begun = entries[kinds == START]
        if not len(begun) and not self._open:
            return
        ended = entries[kinds == DURATION]
        closed = _keys(ended[:, 0] - ended[:, 1], ended[:, 2])
        if self._open:
            keys = np.fromiter(self._open, dtype=np.int64, count=len(self._open))
            for key in keys[np.isin(keys, closed)].tolist():
                del self._open[key]
        keys = _keys(begun[:, 0], begun[:, 2])
        still = ~np.isin(keys, closed)
        for key, (at_ns, _, what, _) in zip(keys[still].tolist(), begun[still].tolist(), strict=True):
            self._open[key] = (at_ns, what)
        while len(self._open) > limits.MAX_OPEN_STARTS:
            del self._open[next(iter(self._open))]

    def remember(self) -> None:
        """Of what an earlier reader of this ring took: STARTs that are still open, and the last sign of life.

        Raises RefusedRingError when the header cannot be true.
        """
        if self.reader.tail == 0:
            return
        entries = self.reader.recent()
        entries = entries[sequences(entries, self.reader.identity.proof) <= self.reader.tail]
        if len(entries):
            self.note_starts(entries[:, 2] >> KIND_SHIFT & KIND_MASK, entries)
            self.note_sign(int(entries[-1, 0]))

    def inside(self) -> tuple[str, ...]:
        """What the writer was doing: names of its open STARTs, the innermost last."""
        return tuple(self._told(what) for _, what in sorted(self._open.values()))

    def _told(self, what: int) -> str:
        event_id = what & EVENT_MASK
        if self.own_ids is not None and event_id < len(self.own_ids):
            event_id = int(self.own_ids[event_id])
        correlation = what >> CORRELATION_SHIFT & CORRELATION_MASK
        return event_name(event_id) + (f" for event {correlation:08x}" if correlation else "")


def kinds_of(entries: Entries) -> Ints:
    """The kind of each entry."""
    kinds: Ints = (entries[:, 2] >> KIND_SHIFT) & KIND_MASK
    return kinds


def _keys(starts: Ints, whats: Ints) -> Ints:
    with np.errstate(over="ignore"):
        keys: Ints = starts ^ ((whats & _SUBJECT_MASK) * _MIX)
    return keys
