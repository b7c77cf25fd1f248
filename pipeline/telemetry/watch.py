"""Counts the calls that surely break a threshold while they are folded, so that judging needs no percentile.

A pair is a threshold and one of the series of its event. Its slow calls are kept in the windows like any
other count, and a window in which no pair has any violates nothing: that is known by one look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline import limits
from pipeline.telemetry.sketch import BUCKETS, Ints
from pipeline.telemetry.sla import SLAThreshold, bucket_of_limit, least_count, surely_slow_from
from pipeline.telemetry.windows import Indices

_NEVER = np.iinfo(np.intp).max


class Subject(NamedTuple):
    """What a threshold is about: the series of its event, a group each, and its pairs."""

    threshold: SLAThreshold
    hundredths: int
    least: int
    """Calls below which the percentile means nothing."""
    series: list[int]
    groups: list[str]
    pairs: list[int]
    cut: list[int]
    """Of each series the cell that the limit cuts through: its calls are perhaps too slow."""


class Watch:
    """The pairs of some thresholds, numbered as their series appear."""

    def __init__(self, thresholds: Sequence[SLAThreshold] = ()) -> None:
        self._thresholds: dict[int, list[SLAThreshold]] = {}
        for threshold in dict.fromkeys(thresholds):
            self._thresholds.setdefault(int(threshold.event_id), []).append(threshold)
        most = max(Counter(int(one.event_id) for one in set(thresholds)).values(), default=0)
        self.capacity = limits.MAX_SERIES * most
        """Pairs there can be."""
        self.subjects: dict[SLAThreshold, Subject] = {}
        self._slow_from: Indices = np.full(limits.MAX_SERIES, _NEVER, dtype=np.intp)
        """The first cell of each series that is too slow for some threshold."""
        self._firsts: Indices = np.empty(0, dtype=np.intp)
        self._ends: Indices = np.empty(0, dtype=np.intp)
        self._free: list[int] = []
        """Pairs whose series is no more."""
        """A pair's slow cells are those from its first up to its end."""

    def __len__(self) -> int:
        return len(self._firsts)

    def add_series(self, series: int, group: str, event_id: int) -> None:
        """A new series: cells series · BUCKETS and on."""
        for threshold in self._thresholds.get(event_id, ()):
            subject = self.subjects.get(threshold)
            if subject is None:
                hundredths = threshold.hundredths
                subject = Subject(threshold, hundredths, least_count(hundredths), [], [], [], [])
                self.subjects[threshold] = subject
            subject.series.append(series)
            subject.groups.append(group)
            pair = self._free.pop() if self._free else len(self)
            subject.pairs.append(pair)
            first = series * BUCKETS + surely_slow_from(threshold.limit_ns)
            if (cut := series * BUCKETS + bucket_of_limit(threshold.limit_ns)) < first:
                subject.cut.append(cut)
            self._slow_from[series] = min(first, self._slow_from[series])
            if pair == len(self):
                self._firsts, self._ends = np.append(self._firsts, 0), np.append(self._ends, 0)
            self._firsts[pair], self._ends[pair] = first, (series + 1) * BUCKETS

    def remove_series(self, series: int, target: int) -> dict[int, int | None]:
        """A series that was added to `target`. Returns its pairs, each with that of `target` for the same
        threshold, if there is one."""
        self._slow_from[series] = _NEVER
        found: dict[int, int | None] = {}
        for subject in self.subjects.values():
            if series not in subject.series:
                continue
            place = subject.series.index(series)
            pair = subject.pairs[place]
            same = subject.series.index(target) if target in subject.series else None
            found[pair] = None if same is None else subject.pairs[same]
            for column in (subject.series, subject.groups, subject.pairs):
                del column[place]
            subject.cut[:] = [cell for cell in subject.cut if cell // BUCKETS != series]
            self._firsts[pair] = self._ends[pair] = 0
            self._free.append(pair)
        self.subjects = {one: subject for one, subject in self.subjects.items() if subject.series}
        return found

    def slow(self, cells: Indices, amounts: Ints, series: Indices) -> tuple[Indices, Ints] | None:
        """The pairs that some of these calls break, and how many calls each; None when there are none.

        `amounts`: how many calls each cell stands for; `series`: of each cell.
        """
        too_slow = cells >= self._slow_from.take(series)
        if not len(self._firsts) or not too_slow.any():
            return None
        found, counts = cells[too_slow], amounts[too_slow]
        order = np.argsort(found)
        found = found[order]
        cumulated = np.concatenate(([0], np.cumsum(counts[order])))
        by_pair = cumulated[np.searchsorted(found, self._ends)]
        by_pair -= cumulated[np.searchsorted(found, self._firsts)]
        pairs = np.flatnonzero(by_pair)
        return pairs, by_pair[pairs]
