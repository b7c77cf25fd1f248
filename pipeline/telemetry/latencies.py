"""Latencies of many series over many windows, and since the beginning: what percentiles are read from.

A series is an event within a group (a stage, or the process itself). All series live in one array of
buckets a window, so that folding a batch costs the same however many series are in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline import limits
from pipeline.clock import NS_PER_S
from pipeline.telemetry.sketch import BUCKETS, Ints, Sketch, bucket_of, quantiles
from pipeline.telemetry.windows import (
    SLOT_NS,
    Indices,
    SlidingExtremes,
    SlidingSum,
    no_extremes,
    summed,
)

WINDOWS_S = (1, 5, 60)
SERIES = limits.MAX_SERIES
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
    """Part of a batch that belongs to one slot, added up once for all windows."""

    at_ns: int
    cells: Indices
    """series · BUCKETS + bucket, each once."""
    counts: Ints
    series: Indices
    calls: Ints
    sums: Ints
    minima: Ints
    maxima: Ints


class Window:
    """All series over one sliding window."""

    __slots__ = ("_extremes", "_sums", "calls", "counts", "window_s")

    def __init__(self, window_s: float) -> None:
        window_ns = round(window_s * NS_PER_S)
        self.window_s = window_s
        self.counts = SlidingSum(SERIES * BUCKETS, window_ns)
        self._sums = SlidingSum(SERIES, window_ns)
        self.calls = SlidingSum(SERIES, window_ns)
        self._extremes = SlidingExtremes(SERIES, window_ns)

    def advance(self, now_ns: int) -> None:
        self.counts.advance(now_ns)
        self._sums.advance(now_ns)
        self.calls.advance(now_ns)
        self._extremes.advance(now_ns)

    def add(self, chunk: Chunk) -> None:
        self.counts.add(chunk.at_ns, chunk.cells, chunk.counts)
        self._sums.add(chunk.at_ns, chunk.series, chunk.sums)
        self.calls.add(chunk.at_ns, chunk.series, chunk.calls)
        self._extremes.add(chunk.at_ns, chunk.series, chunk.minima, chunk.maxima)

    def row(self, series: int) -> Ints:
        """The buckets of one series."""
        return self.counts.running[series * BUCKETS : (series + 1) * BUCKETS]

    def sums(self) -> Ints:
        return self._sums.running

    def extremes(self) -> tuple[Ints, Ints]:
        return self._extremes.current()

    def shorter(self, window_s: float) -> Shorter:
        """The last part of this window."""
        window_ns = round(window_s * NS_PER_S)
        return Shorter(
            self.counts.over(window_ns), self._sums.over(window_ns), self._extremes.current(window_ns)
        )


class Shorter:
    """All series over a window that is not kept, added up once out of one that is."""

    __slots__ = ("_counts", "_extremes", "_sums")

    def __init__(self, counts: Ints, sums: Ints, extremes: tuple[Ints, Ints]) -> None:
        self._counts, self._sums, self._extremes = counts, sums, extremes

    def row(self, series: int) -> Ints:
        """The buckets of one series."""
        return self._counts[series * BUCKETS : (series + 1) * BUCKETS]

    def sums(self) -> Ints:
        return self._sums

    def extremes(self) -> tuple[Ints, Ints]:
        return self._extremes


class Totals:
    """All series since the beginning."""

    __slots__ = ("_counts", "_maxima", "_minima", "_sums")

    def __init__(self) -> None:
        self._counts: Ints = np.zeros(SERIES * BUCKETS, dtype=np.int64)
        self._sums: Ints = np.zeros(SERIES, dtype=np.int64)
        self._minima, self._maxima = no_extremes(SERIES)

    def add(self, chunk: Chunk) -> None:
        np.add.at(self._counts, chunk.cells, chunk.counts)
        self._sums[chunk.series] += chunk.sums
        self._minima[chunk.series] = np.minimum(self._minima[chunk.series], chunk.minima)
        self._maxima[chunk.series] = np.maximum(self._maxima[chunk.series], chunk.maxima)

    def row(self, series: int) -> Ints:
        """The buckets of one series."""
        return self._counts[series * BUCKETS : (series + 1) * BUCKETS]

    def sums(self) -> Ints:
        return self._sums

    def extremes(self) -> tuple[Ints, Ints]:
        return self._minima, self._maxima


class Latencies:
    """Every series over every window and in total. Not thread-safe."""

    def __init__(self, windows_s: Sequence[float] = WINDOWS_S) -> None:
        if not windows_s:
            raise ValueError("windows: at least one is needed")
        self.windows = {window_s: Window(window_s) for window_s in sorted(windows_s)}
        self.totals = Totals()
        self.series: dict[tuple[str, int], int] = {}
        """(group, event id) → series."""

    def series_of(self, group: str, event_id: int) -> int | None:
        """The series of an event in a group, made when it is new; None when there are too many."""
        key = (group, event_id)
        if key not in self.series:
            if len(self.series) >= SERIES:
                return None
            self.series[key] = len(self.series)
        return self.series[key]

    def advance(self, now_ns: int) -> None:
        """Let time pass."""
        for window in self.windows.values():
            window.advance(now_ns)

    def fold(self, series: Indices, values: Ints, times: Ints, weights: Ints | None = None) -> None:
        """Add `values` (ns, 0 … MAX_DURATION_NS) that ended at `times`; `weights`: calls each stands for."""
        slots = times // SLOT_NS
        cells = series * BUCKETS + bucket_of(values)
        first = int(slots[0])
        if (slots == first).all():  # as a drain a step makes it
            self._fold_slot(first, cells, series, values, weights)
            return
        for slot in np.unique(slots).tolist():
            inside = slots == slot
            some = None if weights is None else weights[inside]
            self._fold_slot(slot, cells[inside], series[inside], values[inside], some)

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

    def _fold_slot(
        self, slot: int, cells: Indices, series: Indices, values: Ints, weights: Ints | None
    ) -> None:
        if weights is None:
            unique_cells, counts = counted(cells)
            weighted = values
        else:
            unique_cells, counts = summed(cells, weights)
            weighted = values * weights
        order = np.argsort(series.astype(np.int16), kind="stable")  # 16 bits: a radix sort
        ordered = series[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        by_series = values[order]
        chunk = Chunk(
            slot * SLOT_NS,
            unique_cells,
            counts.astype(np.int64, copy=False),
            ordered[starts],
            np.diff(starts, append=len(ordered))
            if weights is None
            else np.add.reduceat(weights[order], starts),
            np.add.reduceat(weighted[order], starts),
            np.minimum.reduceat(by_series, starts),
            np.maximum.reduceat(by_series, starts),
        )
        self.totals.add(chunk)
        for window in self.windows.values():
            window.add(chunk)


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
    found = quantiles(rows[0] if len(rows) == 1 else np.sum(rows, axis=0))
    if found is None:
        return NO_FIGURES
    count = sum(int(row.sum()) for row in rows)
    minimum = min(int(extremes[0][one]) for one in series)
    maximum = max(int(extremes[1][one]) for one in series)
    p50, p95, p99, p99_9 = (min(max(value, minimum), maximum) for value in found.tolist())
    mean = sum(int(view.sums()[one]) for one in series) / count
    return Figures(count, p50, p95, p99, p99_9, minimum, maximum, mean)
