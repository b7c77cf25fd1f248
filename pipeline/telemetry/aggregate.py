"""Folds batches of proven entries into latencies, counters, gauges and open STARTs.

Proven means whole, not sensible: values that cannot be true are refused by name here, so that one wrong
writer does not spoil the others' figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline import limits
from pipeline.messages import Outcome
from pipeline.telemetry.counters import LOSS_REASONS, LOST, CounterKey, Counters
from pipeline.telemetry.events import NEXT_STAGE, EventID
from pipeline.telemetry.latencies import WINDOWS_S, Latencies
from pipeline.telemetry.layout import (
    CORRELATION_MASK,
    CORRELATION_SHIFT,
    COUNT,
    DURATION,
    EVENT_MASK,
    FLAG_ONE_MORE,
    GAUGE,
    LAST_KIND,
    RATE,
    START,
)
from pipeline.telemetry.reader import Drained, Entries
from pipeline.telemetry.sketch import Ints
from pipeline.telemetry.source import LAST_OWN_ID, Source, kinds_of
from pipeline.telemetry.windows import SLOT_NS, Indices, summed

Mask = npt.NDArray[np.bool_]
OUTCOMES = tuple(Outcome)
_FLOW_THROTTLED, _OUTCOME = int(EventID.FLOW_THROTTLED), int(EventID.OUTCOME)
_UNKNOWN_SERIES = -1
_ID_BITS = 13

assert LAST_OWN_ID < 1 << _ID_BITS


class Span(NamedTuple):
    """Rows start … stop of a batch came from `source`."""

    source: Source
    start: int
    stop: int


class Aggregate:
    """All that is known of the entries drained so far. Not thread-safe."""

    def __init__(self, windows_s: Sequence[float] = WINDOWS_S) -> None:
        self.latencies = Latencies(windows_s)
        self.counters = Counters(windows_s)
        self.refused: Counter[str] = Counter()
        """Entries not folded, by reason."""
        self.entries = 0
        """Entries drained."""
        self._groups: dict[str, int] = {}
        self._series = np.full((0, LAST_OWN_ID + 1), _UNKNOWN_SERIES, dtype=np.intp)

    def advance(self, now_ns: int) -> None:
        """Let time pass."""
        self.latencies.advance(now_ns)
        self.counters.advance(now_ns)

    def lose(self, source: Source, drained: Drained, now_ns: int) -> None:
        """Count what a drain did not get."""
        for which, reason in enumerate(LOSS_REASONS):
            self.counters.add_one(now_ns, CounterKey(source.stage, LOST, which), getattr(drained, reason))

    def fold(self, entries: Entries, spans: Sequence[Span], now_ns: int) -> None:
        """Add a batch. `spans` cover it without gaps."""
        self.entries += len(entries)
        batch = _Batch(
            entries,
            kinds_of(entries),
            _events_of(entries, spans),
            np.minimum(np.maximum(entries[:, 0], 0), now_ns),
            np.repeat(np.arange(len(spans)), [span.stop - span.start for span in spans]),
            spans,
        )
        usable = self._usable(batch)
        weights = _note_by_source(batch)
        self._fold_durations(batch, np.flatnonzero(usable & (batch.kinds == DURATION)), weights)
        self._fold_counts(batch, np.flatnonzero(usable & (batch.kinds == COUNT)))
        self._fold_gauges(batch, np.flatnonzero(usable & (batch.kinds == GAUGE)))

    def _usable(self, batch: _Batch) -> Mask:
        kinds, values = batch.kinds, batch.entries[:, 1]
        known = kinds <= LAST_KIND
        in_range = (batch.events >= 1) & (batch.events <= LAST_OWN_ID) | (kinds == RATE)
        bounded = (kinds == DURATION) | (kinds == COUNT)
        sane = ~bounded | (values >= 0) & (values <= limits.MAX_DURATION_NS)
        usable: Mask = known & in_range & sane
        if not usable.all():
            self._refuse("unknown_kind", ~known)
            self._refuse("event_out_of_range", ~in_range)
            self._refuse("absurd_value", ~sane)
        return usable

    def _refuse(self, reason: str, rows: Mask) -> None:
        if count := int(np.count_nonzero(rows)):
            self.refused[reason] += count

    def _fold_durations(self, batch: _Batch, rows: Indices, weights: Ints | None) -> None:
        if not len(rows):
            return
        groups = np.array([self._group(span.source.stage) for span in batch.spans])[batch.owners[rows]]
        ids = batch.events[rows]
        series = self._series[groups, ids]
        missing = series == _UNKNOWN_SERIES
        if missing.any():
            self._add_series(groups[missing], ids[missing])
            series = self._series[groups, ids]
            unknown = series == _UNKNOWN_SERIES
            self._refuse("too_many_series", unknown)
            rows, series = rows[~unknown], series[~unknown]
        if len(rows):
            chosen_weights = None if weights is None else weights[rows]
            self.latencies.fold(series, batch.entries[rows, 1], batch.times[rows], chosen_weights)

    def _group(self, name: str) -> int:
        if name not in self._groups:
            self._groups[name] = len(self._groups)
            self._series = np.pad(self._series, ((0, 1), (0, 0)), constant_values=_UNKNOWN_SERIES)
        return self._groups[name]

    def _add_series(self, groups: Indices, ids: Ints) -> None:
        names = list(self._groups)
        for pair in np.unique((groups << _ID_BITS) | ids).tolist():
            group, event_id = pair >> _ID_BITS, pair & ((1 << _ID_BITS) - 1)
            found = self.latencies.series_of(names[group], event_id)
            self._series[group, event_id] = _UNKNOWN_SERIES if found is None else found

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


def _events_of(entries: Entries, spans: Sequence[Span]) -> Ints:
    """The event of each entry, with one id for each name, whatever its ring calls it. 0 is none."""
    events: Ints = entries[:, 2] & EVENT_MASK
    events[events > limits.MAX_EVENT_ID] = 0
    for source, start, stop in spans:
        if source.own_ids is not None:
            events[start:stop] = source.own_ids[events[start:stop]]
    return events


def _note_by_source(batch: _Batch) -> Ints | None:
    """Let each source note its STARTs and sampling rates; the weights of the batch, None when all are 1."""
    weights: Ints | None = None
    special = (batch.kinds == START) | (batch.kinds == RATE) | ((batch.entries[:, 2] & FLAG_ONE_MORE) != 0)
    all_plain = not special.any()
    for source, start, stop in batch.spans:
        source.last_sign_ns = max(source.last_sign_ns, int(batch.times[stop - 1]))
        if all_plain and source.plain:
            continue
        kinds, entries = batch.kinds[start:stop], batch.entries[start:stop]
        source.note_starts(kinds, entries)
        own = source.weights(kinds, entries)
        if own is not None:
            if weights is None:
                weights = np.ones(len(batch.entries), dtype=np.int64)
            weights[start:stop] = own
    return weights


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
