"""Latencies of many series over many windows, and since the beginning: what percentiles are read from.

A series is an event within a group (a stage, or the process itself). All series live in one array of
buckets a window, so that folding a batch costs the same however many series are in it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline import limits
from pipeline.clock import NS_PER_S
from pipeline.telemetry.events import GONE, OTHER_EVENT
from pipeline.telemetry.sketch import BUCKETS, Ints, Sketch, bucket_of, ranked
from pipeline.telemetry.watch import Watch
from pipeline.telemetry.windows import (
    SLOT_NS,
    Indices,
    SlidingExtremes,
    SlidingSum,
    move,
    move_extremes,
    nearest,
    no_extremes,
    slots_of,
    summed,
)

WINDOWS_S = (1, 5, 60)
SERIES = limits.MAX_SERIES
COUNTED_ABOVE = 2048
"""A slot keeps up to so many cells of a batch as they come: adding one twice costs less than finding it."""
COUNTED_WITHIN = 64
"""Cells are counted when their range is at most so many times their number: sorting costs about as much."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of one distribution, ns; None where nothing was recorded."""

    count: int
    p50: int | None = None
    p95: int | None = None
    p99: int | None = None
    p99_9: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    mean: float | None = None


NO_FIGURES = Figures(0)


class Chunk(NamedTuple):
    """Part of a batch that belongs to one slot, made once for all windows."""

    at_ns: int
    places: Indices
    """Where in a window's array (see `_COUNTS` and on); a place may be there more than once."""
    amounts: Ints
    series: Indices
    """Those in the chunk, with their least and greatest value."""
    minima: Ints
    maxima: Ints


# A window is one array: adding a batch, or taking an old slot away, is one operation on it.
_CALLS = SERIES * BUCKETS
_SUMS = _CALLS + SERIES
_SLOW = _SUMS + SERIES
"""Then the pairs of `Watch`, and one place for what belongs nowhere any more."""


class Window:
    """All series over one sliding window."""

    __slots__ = ("_extremes", "_running", "_sums", "_window_ns", "calls", "counts", "slow", "window_s")

    def __init__(self, window_s: float, extremes: SlidingExtremes, pairs: int = 0) -> None:
        """`extremes` may be shared with other windows of the same slots."""
        self.window_s = window_s
        self._window_ns = round(window_s * NS_PER_S)
        self.counts = SlidingSum(_SLOW + pairs + 1, self._window_ns)
        self._extremes = extremes
        self._running = self.counts.running
        self.calls = self._running[_CALLS:_SUMS]
        """Of each series."""
        self._sums = self._running[_SUMS:_SLOW]
        self.slow = self._running[_SLOW:]
        """Of each pair of `Watch`."""

    def advance(self, now_ns: int) -> None:
        self.counts.advance(now_ns)

    def add(self, chunk: Chunk) -> None:
        self.counts.add(chunk.at_ns, chunk.places, chunk.amounts)

    def row(self, series: int) -> Ints:
        """The buckets of one series."""
        return self._running[series * BUCKETS : (series + 1) * BUCKETS]

    def sums(self) -> Ints:
        return self._sums

    def move(self, moved: Indices, into: Indices) -> None:
        self.counts.move(moved, into)

    def take_over(self, other: Window) -> None:
        """As `SlidingSum.take_over`."""
        self.counts.take_over(other.counts)
        self._extremes.take_over(other._extremes)

    def extremes(self) -> tuple[Ints, Ints]:
        return self._extremes.current(self._window_ns)

    def shorter(self, window_s: float) -> Shorter:
        """The last part of this window."""
        window_ns = round(window_s * NS_PER_S)
        return Shorter(self.counts.over(window_ns), self._extremes.current(window_ns))


class Shorter:
    """All series over a window that is not kept, added up once out of one that is."""

    __slots__ = ("_extremes", "_total")

    def __init__(self, total: Ints, extremes: tuple[Ints, Ints]) -> None:
        self._total = total
        self._extremes = extremes

    def row(self, series: int) -> Ints:
        """The buckets of one series."""
        return self._total[series * BUCKETS : (series + 1) * BUCKETS]

    def sums(self) -> Ints:
        return self._total[_SUMS:_SLOW]

    def extremes(self) -> tuple[Ints, Ints]:
        return self._extremes


class Totals:
    """All series since the beginning."""

    __slots__ = ("_maxima", "_minima", "_total")

    def __init__(self, pairs: int = 0) -> None:
        self._total: Ints = np.zeros(_SLOW + pairs + 1, dtype=np.int64)
        self._minima, self._maxima = no_extremes(SERIES)

    def add(self, chunk: Chunk) -> None:
        np.add.at(self._total, chunk.places, chunk.amounts)
        np.minimum.at(self._minima, chunk.series, chunk.minima)
        np.maximum.at(self._maxima, chunk.series, chunk.maxima)

    def move(self, moved: Indices, into: Indices) -> None:
        move(self._total, moved, into)

    def row(self, series: int) -> Ints:
        """The buckets of one series."""
        return self._total[series * BUCKETS : (series + 1) * BUCKETS]

    @property
    def calls(self) -> int:
        """Of all series."""
        return int(self._total[_CALLS:_SUMS].sum())

    def sums(self) -> Ints:
        return self._total[_SUMS:_SLOW]

    def extremes(self) -> tuple[Ints, Ints]:
        return self._minima, self._maxima


class Latencies:
    """Every series over every window and in total. Not thread-safe."""

    def __init__(self, windows_s: Sequence[float] = WINDOWS_S, watch: Watch | None = None) -> None:
        if not windows_s:
            raise ValueError("windows: at least one is needed")
        self._watch = Watch() if watch is None else watch
        self._extremes: dict[int, SlidingExtremes] = {}
        """By length of their slots, each over the longest window that has such slots."""
        for window_s in sorted(windows_s):
            window_ns = round(window_s * NS_PER_S)
            self._extremes[slots_of(window_ns)[0]] = SlidingExtremes(SERIES, window_ns)
        pairs = self._watch.capacity
        self.windows = {
            window_s: Window(window_s, self._extremes[slots_of(round(window_s * NS_PER_S))[0]], pairs)
            for window_s in sorted(windows_s)
        }
        self.totals = Totals(pairs)
        self.series: dict[tuple[str, int], int] = {}
        """(group, event id) → series."""
        self._free: list[int] = []
        """Series that were added up into others."""

    def series_of(self, group: str, event_id: int) -> int | None:
        """The series of an event in a group, made when it is new; None when there are too many."""
        key = (group, event_id)
        if key not in self.series:
            most = SERIES if group == GONE else SERIES - limits.MAX_GONE_SERIES - 1
            if len(self.series) >= most:
                return None
            self.series[key] = self._free.pop() if self._free else len(self.series)
            self._watch.add_series(self.series[key], group, event_id)
        return self.series[key]

    def add_up(self, groups: Collection[str]) -> None:
        """Add all series of some groups to those of GONE, in total and in every window; they are no more
        then."""
        into: Indices = np.arange(_SLOW + self._watch.capacity + 1)
        nowhere, freed = len(into) - 1, []
        targets = {key: self._series_of_gone(key[1]) for key in list(self.series) if key[0] in groups}
        for key, target in targets.items():
            series = self.series.pop(key)
            freed.append(series)
            begin = target * BUCKETS
            into[series * BUCKETS : (series + 1) * BUCKETS] = np.arange(begin, begin + BUCKETS)
            into[[_CALLS + series, _SUMS + series]] = _CALLS + target, _SUMS + target
            for pair, other in self._watch.remove_series(series, target).items():
                into[_SLOW + pair] = nowhere if other is None else _SLOW + other
        moved = np.flatnonzero(into != np.arange(len(into)))
        ended, gone_to = np.array(freed, dtype=np.intp), into[_CALLS:_SUMS] - _CALLS
        self.totals.move(moved, into)
        move_extremes(self.totals.extremes(), ended, gone_to)
        for window in self.windows.values():
            window.move(moved, into)
        for extremes in self._extremes.values():
            extremes.move(ended, gone_to)
        self._free += freed

    def take_over(self, other: Latencies) -> None:
        """Begin with what another one has, whose windows differ. Both are at the same instant, and neither
        watches anything."""
        self.series, self._free, self.totals = dict(other.series), list(other._free), other.totals
        for window_s, window in self.windows.items():
            window.take_over(other.windows[nearest(other.windows, window_s)])

    def _series_of_gone(self, event_id: int) -> int:
        there = [event for group, event in self.series if group == GONE]
        if event_id not in there and len(there) >= limits.MAX_GONE_SERIES:
            event_id = OTHER_EVENT
        found = self.series_of(GONE, event_id)
        assert found is not None  # there is room for them
        return found

    def advance(self, now_ns: int) -> None:
        """Let time pass."""
        for window in self.windows.values():
            window.advance(now_ns)
        for extremes in self._extremes.values():
            extremes.advance(now_ns)

    def fold(self, series: Indices, values: Ints, times: Ints, weights: Ints | None = None) -> None:
        """Add `values` (ns, 0 … MAX_DURATION_NS) that ended at `times`; `weights`: calls each stands for."""
        first = int(times.min()) // SLOT_NS
        if int(times.max()) // SLOT_NS == first:  # as a drain a step makes it
            self._fold_slot(first, series, values, weights)
            return
        slots = times // SLOT_NS
        if (slots[1:] < slots[:-1]).any():
            order = np.argsort(slots, kind="stable")
            slots, series, values = slots[order], series[order], values[order]
            weights = None if weights is None else weights[order]
        ends = [*(np.flatnonzero(np.diff(slots)) + 1).tolist(), len(slots)]
        start = 0
        for end in ends:
            some = None if weights is None else weights[start:end]
            self._fold_slot(int(slots[start]), series[start:end], values[start:end], some)
            start = end

    def figures(self, series: Sequence[int], window_s: float | None) -> Figures:
        """Of several series taken together, over a configured window or (None) in total."""
        view = self.view(window_s)
        return figures_of(view, series, view.extremes())

    def view(self, window_s: float | None) -> Window | Shorter | Totals:
        """All series over a window: one that is kept, or any shorter one; in total (None).

        Raises KeyError when it is longer.
        """
        if window_s is None:
            return self.totals
        if window_s in self.windows:
            return self.windows[window_s]
        longer = [kept for kept in self.windows if kept >= window_s]
        if not longer:
            raise KeyError(window_s)
        return self.windows[min(longer)].shorter(window_s)

    def sketch(self, series: Sequence[int], window_s: float | None) -> Sketch:
        """The same as a sketch, to be merged with those of other processes."""
        view = self.view(window_s)
        minima, maxima = view.extremes()
        sketch = Sketch()
        for one in series:
            sketch.counts += view.row(one)
        sketch.count = int(sketch.counts.sum())
        if sketch.count:
            sketch.total = sum(int(view.sums()[one]) for one in series)
            sketch.minimum = min(int(minima[one]) for one in series)
            sketch.maximum = max(int(maxima[one]) for one in series)
        return sketch

    def _fold_slot(self, slot: int, series: Indices, values: Ints, weights: Ints | None) -> None:
        cells = bucket_of(values)
        cells += series * BUCKETS
        known = len(self.series) + len(self._free)
        by_series = np.zeros((2, known), dtype=np.int64)
        minima, maxima = no_extremes(known)
        np.minimum.at(minima, series, values)
        np.maximum.at(maxima, series, values)
        np.add.at(by_series[0], series, _ones(len(series)) if weights is None else weights)
        np.add.at(by_series[1], series, values if weights is None else values * weights)
        amounts = _ones(len(cells)) if weights is None else weights
        if len(cells) > COUNTED_ABOVE:
            cells, amounts = counted(cells) if weights is None else summed(cells, amounts)
            series = cells // BUCKETS
        present = np.flatnonzero(by_series[0])
        places = [cells, present + _CALLS, present + _SUMS]
        all_amounts = [amounts, by_series[0, present], by_series[1, present]]
        if (slow := self._watch.slow(cells, amounts, series)) is not None:
            places.append(slow[0] + _SLOW)
            all_amounts.append(slow[1])
        chunk = Chunk(
            slot * SLOT_NS,
            np.concatenate(places),
            np.concatenate(all_amounts),
            present,
            minima[present],
            maxima[present],
        )
        self.totals.add(chunk)
        for window in self.windows.values():
            window.add(chunk)
        for extremes in self._extremes.values():
            extremes.add(chunk.at_ns, chunk.series, chunk.minima, chunk.maxima)


_ONES: Ints = np.ones(COUNTED_ABOVE, dtype=np.int64)


def _ones(length: int) -> Ints:
    return _ONES[:length] if length <= COUNTED_ABOVE else np.ones(length, dtype=np.int64)


def counted(cells: Indices) -> tuple[Indices, Ints]:
    """Each cell once, ascending, and how often it is there. Many are counted, few are sorted."""
    first = int(cells.min())
    if len(cells) * COUNTED_WITHIN < int(cells.max()) - first:
        return np.unique(cells, return_counts=True)
    counts = np.bincount(cells - first)
    found = np.flatnonzero(counts)
    return found + first, counts[found]


def figures_of(
    view: Window | Shorter | Totals, series: Sequence[int], extremes: tuple[Ints, Ints]
) -> Figures:
    """Figures of several series together; `extremes` are the view's, taken once for many calls."""
    if not series:
        return NO_FIGURES
    rows = [view.row(one) for one in series]
    cumulated = (rows[0] if len(rows) == 1 else np.sum(rows, axis=0)).cumsum()
    count = int(cumulated[-1])
    if count <= 0:
        return NO_FIGURES
    found = ranked(cumulated)
    minimum = min(int(extremes[0][one]) for one in series)
    maximum = max(int(extremes[1][one]) for one in series)
    p50, p95, p99, p99_9 = (min(max(value, minimum), maximum) for value in found.tolist())
    mean: float | None = sum(int(view.sums()[one]) for one in series) / count
    if not minimum <= (mean or 0) <= maximum:  # thousands of calls of days each: the 64-bit sum has wrapped
        mean = None
    return Figures(count, p50, p95, p99, p99_9, minimum, maximum, mean)
