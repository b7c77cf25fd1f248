"""Folds batches of proven entries into latencies, counters and gauges.

Proven means whole, not sensible: values that cannot be true are refused by name here, so that one wrong
writer does not spoil the others' figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline import limits
from pipeline.outcome import Outcome
from pipeline.telemetry.counters import LOST, OTHERS, CounterKey, Counters
from pipeline.telemetry.events import FIRST_FACT, LAST_FACT, NEXT_STAGE, EventID
from pipeline.telemetry.few import FEW, fold_few, sifted
from pipeline.telemetry.latencies import WINDOWS_S, Latencies
from pipeline.telemetry.layout import (
    CORRELATION_MASK,
    CORRELATION_SHIFT,
    COUNT,
    DURATION,
    ENTRY_KINDS,
    EVENT_MASK,
    GAUGE,
    KIND_MASK,
    KIND_SHIFT,
    WEIGHT_MASK,
    WEIGHT_SHIFT,
)
from pipeline.telemetry.reader import Drained
from pipeline.telemetry.ring_words import Entries
from pipeline.telemetry.sketch import Ints
from pipeline.telemetry.source import LAST_OWN_ID, Source
from pipeline.telemetry.watch import Watch
from pipeline.telemetry.windows import SLOT_NS, Indices, summed

Mask = npt.NDArray[np.bool_]
OUTCOMES = tuple(Outcome)
_FLOW_THROTTLED, _OUTCOME = int(EventID.FLOW_THROTTLED), int(EventID.OUTCOME)
_UNKNOWN_SERIES, _OUT_OF_RANGE, _TOO_MANY = -1, -2, -3
_ID_BITS = 13
_SUBJECT_MASK = (1 << CORRELATION_SHIFT) - 1
"""Event, weight and kind: as a number an event id exactly when the entry is a DURATION of one call."""

assert LAST_OWN_ID < 1 << _ID_BITS


class Span(NamedTuple):
    """Rows start … stop of a batch came from `source`."""

    source: Source
    start: int
    stop: int


class Aggregate:
    """All that is known of the entries drained so far. Not thread-safe."""

    def __init__(self, windows_s: Sequence[float] = WINDOWS_S, watch: Watch | None = None) -> None:
        """`watch`: thresholds whose slow calls are counted in the windows."""
        self.latencies = Latencies(windows_s, watch)
        self.counters = Counters(windows_s)
        self.refused: Counter[str] = Counter()
        """Entries not folded, by reason."""
        self.entries = 0
        """Entries drained."""
        self._rows: dict[str, Indices] = {}
        """Of each stage: the series of every event id."""

    def advance(self, now_ns: int) -> None:
        """Let time pass."""
        self.latencies.advance(now_ns)
        self.counters.advance(now_ns)

    def take_over(self, other: Aggregate) -> None:
        """Begin with what another one has, whose windows differ and which is used no more; both are at the
        same instant, and neither watches anything."""
        self.latencies.take_over(other.latencies)
        self.counters.take_over(other.counters)
        self.refused, self.entries, self._rows = other.refused, other.entries, other._rows

    def lose(self, source: Source, drained: Drained, now_ns: int) -> None:
        """Count the calls and facts that a drain did not get. What an entry stood for that cannot be read any
        more, is not known: it counts as the most that it may have been."""
        most = source.reader.most_calls
        calls = (drained.dropped, drained.overwritten * most, drained.unproven * most)
        for which, lost in enumerate((*calls, drained.facts_dropped)):
            self.counters.add_one(now_ns, CounterKey(source.stage, LOST, which), lost)

    def lose_others(self, calls: int, now_ns: int) -> None:
        """Count lost calls that may be any stage's."""
        self.counters.add_one(now_ns, CounterKey(OTHERS, LOST), calls)

    def fold(self, entries: Entries, spans: Sequence[Span], now_ns: int) -> None:
        """Add a batch. `spans` cover it without gaps."""
        durations, spans = self.fold_facts(entries, spans, now_ns)
        if len(durations):
            self._fold_durations(durations, spans, now_ns)

    def fold_facts(
        self, entries: Entries, spans: Sequence[Span], now_ns: int
    ) -> tuple[Entries, Sequence[Span]]:
        """Add only what is no duration: counts, gauges, signs of life. Returns the rest, yet to be folded."""
        _note_signs(entries, spans, now_ns)
        if len(entries) <= FEW:
            return self._fold_few_facts(entries, spans, now_ns)
        subjects = entries[:, 2] & _SUBJECT_MASK
        if subjects.min() > 0 and subjects.max() <= limits.MAX_EVENT_ID:
            return entries, spans
        kinds, ids = subjects >> KIND_SHIFT & KIND_MASK, subjects & EVENT_MASK
        durations = (kinds == DURATION) & (ids >= 1) & (ids <= limits.MAX_EVENT_ID)
        rows, others = np.flatnonzero(durations), np.flatnonzero(~durations)
        if len(others):
            self.entries += len(others)
            self._fold_others(entries[others], kinds[others], _cut(spans, others), now_ns)
        return entries[rows], _cut(spans, rows)

    def _fold_few_facts(
        self, entries: Entries, spans: Sequence[Span], now_ns: int
    ) -> tuple[Entries, Sequence[Span]]:
        durations, others = sifted(entries.tolist(), spans)
        if others.rows:
            self.entries += len(others.rows)
            fold_few(others.rows, others.spans, now_ns, self.counters, self.refused, counter_key)
        left = [Span(*span) for span in durations.spans]
        return (entries[durations.places] if others.rows else entries), left

    def add_up_groups(self, stages: Collection[str]) -> None:
        """Add all series of these stages to those of GONE. None of them has a source any more."""
        self.latencies.add_up(stages)
        for stage in stages:
            self._rows.pop(stage, None)
        for row in self._rows.values():  # there is room again
            row[row == _TOO_MANY] = _UNKNOWN_SERIES

    def _fold_others(self, entries: Entries, kinds: Ints, spans: Sequence[Span], now_ns: int) -> None:
        if len(entries) <= FEW:
            fold_few(entries.tolist(), spans, now_ns, self.counters, self.refused, counter_key)
            return
        batch = _batch(entries, kinds, spans, now_ns)
        usable = self._usable(batch)
        self._fold_counts(batch, np.flatnonzero(usable & (batch.kinds == COUNT)))
        self._fold_gauges(batch, np.flatnonzero(usable & (batch.kinds == GAUGE)))

    def _usable(self, batch: _Batch) -> Mask:
        kinds, values = batch.kinds, batch.entries[:, 1]
        known = np.isin(kinds, ENTRY_KINDS)
        in_range = (batch.events >= 1) & (batch.events <= LAST_OWN_ID)
        bounded = (kinds == DURATION) | (kinds == COUNT)
        sane = ~bounded | (values >= 0) & (values <= limits.MAX_DURATION_NS)
        facts = (kinds == GAUGE) & (batch.events >= FIRST_FACT) & (batch.events <= LAST_FACT)
        sane &= ~facts | (values >= 0) & (values <= limits.MAX_FACT)
        usable: Mask = known & in_range & sane
        if not usable.all():
            self._refuse("unknown_kind", ~known)
            self._refuse("event_out_of_range", ~in_range)
            self._refuse("absurd_value", ~sane)
        return usable

    def _refuse(self, reason: str, rows: Mask) -> None:
        if count := int(np.count_nonzero(rows)):
            self.refused[reason] += count

    def _fold_durations(self, entries: Entries, spans: Sequence[Span], now_ns: int) -> None:
        """`entries` are DURATIONs of events from 1 to MAX_EVENT_ID."""
        self.entries += len(entries)
        ids, weights = entries[:, 2] & _SUBJECT_MASK, None
        if ids.max() > limits.MAX_EVENT_ID:
            ids, weights = ids & EVENT_MASK, _weights(ids)
        series = np.empty(len(ids), dtype=np.intp)
        for source, start, stop in spans:
            self._row_of(source).take(ids[start:stop], out=series[start:stop])
        if series.min() < 0:
            self._add_series(series, ids, spans)
        values, times = entries[:, 1].copy(), entries[:, 0]
        absurd = values.view(np.uint64) > limits.MAX_DURATION_NS
        usable = (series >= 0) & ~absurd
        if not usable.all():
            self._refuse("absurd_value", absurd)
            self._refuse("event_out_of_range", series == _OUT_OF_RANGE)
            self._refuse("too_many_series", series == _TOO_MANY)
            series, values, times = series[usable], values[usable], times[usable]
            weights = None if weights is None else weights[usable]
        if len(series):
            if times.min() < 0 or times.max() > now_ns:
                times = np.minimum(np.maximum(times, 0), now_ns)
            self.latencies.fold(series, values, times, weights)

    def _row_of(self, source: Source) -> Indices:
        """The series of each event id in this ring."""
        if source.own_ids is None:
            if source.stage not in self._rows:
                self._rows[source.stage] = _unknown_series()
            return self._rows[source.stage]
        if source.series is None:
            source.series = _unknown_series()
        return source.series

    def _add_series(self, series: Indices, ids: Ints, spans: Sequence[Span]) -> None:
        """Find those that are not known yet; what has none gets the reason."""
        for source, start, stop in spans:
            row = self._row_of(source)
            missing = ids[start:stop][series[start:stop] == _UNKNOWN_SERIES]
            for event_id in np.unique(missing).tolist():
                known = event_id if source.own_ids is None else int(source.own_ids[event_id])
                found = self.latencies.series_of(source.stage, known) if known else _OUT_OF_RANGE
                row[event_id] = _TOO_MANY if found is None else found
            row.take(ids[start:stop], out=series[start:stop])

    def _fold_counts(self, batch: _Batch, rows: Indices) -> None:
        slots = batch.times[rows] // SLOT_NS
        for slot in np.unique(slots).tolist():
            self._fold_count_slot(batch, rows[slots == slot], slot * SLOT_NS)

    def _fold_count_slot(self, batch: _Batch, rows: Indices, at_ns: int) -> None:
        whiches = batch.whiches(rows)
        subjects = (batch.owners[rows] << _ID_BITS) | batch.events[rows]
        order = np.lexsort((whiches, subjects))
        subjects, whiches = subjects[order], whiches[order]
        changed = (np.diff(subjects) != 0) | (np.diff(whiches) != 0)
        firsts = np.flatnonzero(np.concatenate(([True], changed)))
        sums = np.add.reduceat(batch.entries[rows[order], 1], firsts)
        indices, amounts = [], []
        groups = zip(subjects[firsts].tolist(), whiches[firsts].tolist(), sums.tolist(), strict=True)
        for subject, which, amount in groups:
            source = batch.spans[subject >> _ID_BITS].source
            key = counter_key(source, subject & ((1 << _ID_BITS) - 1), which)
            index = None if key is None else self.counters.index_of(key)
            if index is None:
                self.refused["senseless_count" if key is None else "too_many_counters"] += 1
            else:
                indices.append(index)
                amounts.append(amount)
        if indices:
            totals = summed(np.array(indices, dtype=np.intp), np.array(amounts, dtype=np.int64))
            self.counters.add(at_ns, *totals)

    def _fold_gauges(self, batch: _Batch, rows: Indices) -> None:
        columns = (batch.owners[rows], batch.events[rows], batch.whiches(rows))
        values = (batch.times[rows], batch.entries[rows, 1])
        for owner, event_id, which, at_ns, value in zip(
            *(column.tolist() for column in (*columns, *values)), strict=True
        ):
            if not batch.spans[owner].source.set_gauge(event_id, which, at_ns, value):
                self.refused["too_many_gauges"] += 1


class _Batch(NamedTuple):
    """A batch taken apart: columns of equal length; `owners` are indices of `spans`."""

    entries: Entries
    kinds: Ints
    events: Ints
    times: Ints
    owners: Indices
    spans: Sequence[Span]

    def whiches(self, rows: Indices) -> Ints:
        """The correlations of some rows."""
        correlations: Ints = (self.entries[rows, 2] >> CORRELATION_SHIFT) & CORRELATION_MASK
        return correlations


def _batch(entries: Entries, kinds: Ints, spans: Sequence[Span], now_ns: int) -> _Batch:
    owners = np.repeat(np.arange(len(spans)), [span.stop - span.start for span in spans])
    times = np.minimum(np.maximum(entries[:, 0], 0), now_ns)
    return _Batch(entries, kinds, _events_of(entries, spans), times, owners, spans)


def _cut(spans: Sequence[Span], rows: Indices) -> list[Span]:
    """The spans of some rows, ascending, taken out of a batch."""
    starts = np.searchsorted(rows, [span.start for span in spans]).tolist()
    stops = [*starts[1:], len(rows)]
    return [Span(span.source, *cut) for span, cut in zip(spans, zip(starts, stops, strict=True), strict=True)]


def _events_of(entries: Entries, spans: Sequence[Span]) -> Ints:
    """The event of each entry, with one id for each name, whatever its ring calls it. 0 is none."""
    events: Ints = entries[:, 2] & EVENT_MASK
    events[events > limits.MAX_EVENT_ID] = 0
    for source, start, stop in spans:
        if source.own_ids is not None:
            events[start:stop] = source.own_ids[events[start:stop]]
    return events


def _note_signs(entries: Entries, spans: Sequence[Span], now_ns: int) -> None:
    """Each source's newest entry is a sign of life."""
    lasts = entries[[span.stop - 1 for span in spans], 0].tolist()
    for span, last_ns in zip(spans, lasts, strict=True):
        span.source.note_sign(min(last_ns, now_ns))


def _weights(subjects: Ints) -> Ints | None:
    """How many calls each entry stands for; None when all stand for one."""
    more: Ints = subjects >> WEIGHT_SHIFT & WEIGHT_MASK
    return more + 1 if more.any() else None


def _unknown_series() -> Indices:
    return np.full(limits.MAX_EVENT_ID + 1, _UNKNOWN_SERIES, dtype=np.intp)


def counter_key(source: Source, event_id: int, which: int) -> CounterKey | None:
    """Whose counter a COUNT entry adds to; None when its correlation makes no sense.

    A flow throttle is written by the sender and charged to the worker that gave no credit.
    """
    if event_id == _FLOW_THROTTLED:
        downstream = NEXT_STAGE.get(source.stage)
        if downstream is None or which >= limits.MAX_ORDINAL:
            return None
        return CounterKey(f"{downstream}-{which}", event_id)
    if event_id == _OUTCOME:
        return CounterKey(source.worker, event_id, which) if which < len(OUTCOMES) else None
    return CounterKey(source.worker, event_id)
