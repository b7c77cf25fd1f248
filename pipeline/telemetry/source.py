"""One ring as a collector knows it: its reader, and what must be remembered between two batches."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from pipeline import limits
from pipeline.clock import NS_PER_S
from pipeline.telemetry.events import EventID, known_event, name_event, name_in_rings, split_worker
from pipeline.telemetry.layout import (
    CORRELATION_MASK,
    CORRELATION_SHIFT,
    EVENT_MASK,
    KIND_MASK,
    KIND_SHIFT,
    RefusedRingError,
)
from pipeline.telemetry.proofs import sequences
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.ring_words import Entries
from pipeline.telemetry.sketch import Ints
from pipeline.telemetry.windows import Indices

_CPU = int(EventID.CPU)
FIRST_OWN_ID = limits.MAX_EVENT_ID + 1
LAST_OWN_ID = limits.MAX_EVENT_ID + limits.MAX_NAMED_EVENTS
CPU_HISTORY = 32
CPU_SPAN_NS = 1 * NS_PER_S
"""A processor percentage is taken over at least this long, if so much history is there."""
MORE = "more than a ring can tell"


class OwnEvents:
    """Events of users' own by name, each with one id for all rings of this reader."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def id_of(self, name: str) -> int:
        """Beyond the ids that a ring can have; 0, which is refused, when there are too many. A name that some
        id has anyhow means that one: nothing is told twice by one name."""
        if (known := known_event(name)) is not None:
            return known if known <= limits.MAX_EVENT_ID else 0
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

    def remember(self) -> None:
        """Of what an earlier reader of this ring took: the last sign of life.

        Raises RefusedRingError when the header cannot be true.
        """
        if self.reader.tail == 0:
            return
        entries = self.reader.recent()
        entries = entries[sequences(entries, self.reader.identity.proof) <= self.reader.tail]
        if len(entries):
            self.note_sign(int(entries[-1, 0]))

    def inside(self, now_ns: int) -> tuple[str, ...]:
        """What the writer is doing, or was when it died: names of its STARTs, the innermost last. The newest
        is a sign of life."""
        try:
            found = self.reader.under_way()
        except RefusedRingError:
            return ()
        if found:
            self.note_sign(min(found[-1].at_ns, now_ns))
        more = (MORE,) if len(found) >= limits.MAX_OPEN_STARTS else ()
        return (*(self._told(one.what, now_ns - one.at_ns) for one in found), *more)

    def _told(self, what: int, age_ns: int) -> str:
        event_id = what & EVENT_MASK
        if self.own_ids is not None and event_id < len(self.own_ids):
            event_id = int(self.own_ids[event_id])
        correlation = what >> CORRELATION_SHIFT & CORRELATION_MASK
        tied = f" for event {correlation:08x}" if correlation else ""
        return name_in_rings(event_id) + tied + _for_long(age_ns)


def _for_long(age_ns: int) -> str:
    """How long something has been under way, where that is long: it may be a START that nobody ended."""
    minutes = age_ns // (60 * NS_PER_S)
    for size, unit in ((60 * 24, "d"), (60, "h"), (1, "min")):
        if minutes >= size:
            return f" for {minutes // size} {unit}"
    return ""


def kinds_of(entries: Entries) -> Ints:
    """The kind of each entry."""
    kinds: Ints = (entries[:, 2] >> KIND_SHIFT) & KIND_MASK
    return kinds
