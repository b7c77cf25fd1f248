"""Counters of who did how much of what: over the windows, and since the beginning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipeline import limits
from pipeline.clock import NS_PER_S
from pipeline.telemetry.sketch import Ints
from pipeline.telemetry.windows import Indices, SlidingSum, move, nearest


class CounterKey(NamedTuple):
    """Who (a worker, or a stage for LOST), which event, and which of its kinds."""

    subject: str
    event_id: int
    which: int = 0


LOST = 0
"""Event id of records lost; `which` is an index of LOSS_REASONS, or FACTS_LOST."""
LOSS_REASONS = ("dropped", "overwritten", "unproven")
"""Of calls."""
FACTS_LOST = len(LOSS_REASONS)
"""Counts and gauges that found no room: they spoil counters, but no percentile."""
TOLD_REASONS = (*LOSS_REASONS, "dropped_count_or_gauge")
OTHERS = "(others)"
"""Loses what could not be kept apart by stage; it counts against every stage, for it may be theirs."""
LOSSES_APART = len(LOSS_REASONS) * 64
"""Counters that only losses may take: whatever else there is too much of, no loss goes uncounted."""


class Table(NamedTuple):
    """Where the counters of every subject are, for who reads many of them at one time."""

    rows: dict[str, int]
    """Subject → row."""
    places: Indices
    """A row a subject, a column an event; `_NOWHERE`, which stays 0, where there is no such counter."""


_NOWHERE = limits.MAX_COUNTERS
_SIZE = limits.MAX_COUNTERS + 1


class Counters:
    """Sums by key. Not thread-safe."""

    def __init__(self, windows_s: Sequence[float]) -> None:
        self._index: dict[CounterKey, int] = {}
        self._windows = {window_s: SlidingSum(_SIZE, round(window_s * NS_PER_S)) for window_s in windows_s}
        self._totals: Ints = np.zeros(_SIZE, dtype=np.int64)
        self._free: list[int] = []
        """Counters that were added up into others."""
        self._tables: dict[tuple[int, ...], tuple[int, Table]] = {}

    def index_of(self, key: CounterKey) -> int | None:
        """The counter of `key`, made when it is new; None when there are too many."""
        index = self._index.get(key)
        if index is not None:
            return index
        left = limits.MAX_COUNTERS - len(self._index)
        if key.subject != OTHERS:
            left -= len(TOLD_REASONS) + (0 if key.event_id == LOST else LOSSES_APART)
        if left > 0:
            index = self._index[key] = self._free.pop() if self._free else len(self._index)
        elif key.event_id == LOST:
            return self.index_of(key._replace(subject=OTHERS))
        return index

    def advance(self, now_ns: int) -> None:
        """Let time pass."""
        for window in self._windows.values():
            window.advance(now_ns)

    def add(self, at_ns: int, indices: Indices, amounts: Ints) -> None:
        """Add `amounts` at `indices`, each index once."""
        self._totals[indices] += amounts
        for window in self._windows.values():
            window.add(at_ns, indices, amounts)

    def add_one(self, at_ns: int, key: CounterKey, amount: int) -> None:
        """Add to a single counter."""
        index = self.index_of(key)
        if index is not None and amount:
            self.add(at_ns, np.array([index]), np.array([amount]))

    def add_up(self, targets: Mapping[CounterKey, CounterKey]) -> None:
        """Add each of these counters to another one, in total and in every window; it is no more then."""
        into: Indices = np.arange(_SIZE)
        freed = []
        for key, target in targets.items():
            index = self._index.pop(key)
            into[index] = self._index.setdefault(target, index)
            if into[index] != index:
                freed.append(index)
        moved = np.array(freed, dtype=np.intp)
        move(self._totals, moved, into)
        for window in self._windows.values():
            window.move(moved, into)
        self._free += freed
        self._tables.clear()

    def take_over(self, other: Counters) -> None:
        """Begin with what another one has, whose windows differ; both are at the same instant."""
        self._index, self._free, self._totals = dict(other._index), list(other._free), other._totals
        for window_s, window in self._windows.items():
            window.take_over(other._windows[nearest(other._windows, window_s)])

    def total(self, key: CounterKey) -> int:
        """Since the beginning."""
        index = self._index.get(key)
        return 0 if index is None else int(self._totals[index])

    def within(self, window_s: float, keys: Iterable[CounterKey]) -> int:
        """The sum of several counters over a configured window."""
        if window_s in self._windows:
            running = self._windows[window_s].running
        else:
            longer = min(kept for kept in self._windows if kept >= window_s)
            running = self._windows[longer].over(round(window_s * NS_PER_S))
        return sum(int(running[self._index[key]]) for key in keys if key in self._index)

    def table(self, events: tuple[int, ...]) -> Table:
        """Of these events, of the kind 0; made anew only when there are new counters."""
        made_of, table = self._tables.get(events, (-1, None))
        if table is None or made_of != len(self._index):
            subjects = dict.fromkeys(key.subject for key in self._index)
            rows = {subject: row for row, subject in enumerate(subjects)}
            found = [
                self._index.get(CounterKey(subject, event_id), _NOWHERE)
                for subject in rows
                for event_id in events
            ]
            table = Table(rows, np.array(found, dtype=np.intp).reshape(len(rows), len(events)))
            self._tables[events] = len(self._index), table
        return table

    def read(self, window_s: float, table: Table) -> list[list[int]]:
        """The sums of a table over a configured window, row by row."""
        sums: list[list[int]] = self._windows[window_s].running.take(table.places).tolist()
        return sums

    def totals(self, event_id: int | None = None) -> Iterator[tuple[CounterKey, int]]:
        """Every counter, or those of one event, since the beginning, in the order of their first sight."""
        for key, index in self._index.items():
            if event_id is None or key.event_id == event_id:
                yield key, int(self._totals[index])


def loss_keys(stages: Iterable[str]) -> list[CounterKey]:
    """Of every loss of calls that may be one of these stages'."""
    return [
        CounterKey(stage, LOST, which) for stage in {*stages, OTHERS} for which in range(len(LOSS_REASONS))
    ]
