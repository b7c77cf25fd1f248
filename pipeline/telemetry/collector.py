"""Drains every ring of a telemetry directory into one aggregate, and outlives all that it may find there."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline import limits
from pipeline.clock import NS_PER_MS
from pipeline.snapshot import Dead
from pipeline.telemetry.aggregate import Aggregate, Span
from pipeline.telemetry.counters import LOSS_REASONS, LOST, CounterKey
from pipeline.telemetry.discovery import RingFolder
from pipeline.telemetry.flight import keep_flight
from pipeline.telemetry.latencies import WINDOWS_S
from pipeline.telemetry.layout import ENTRY_WORDS, RefusedRingError
from pipeline.telemetry.reader import Entries
from pipeline.telemetry.ring import Now
from pipeline.telemetry.sketch import BUCKETS
from pipeline.telemetry.sla import (
    DEFAULT_SLA,
    PIPELINE_SLA,
    SLAResult,
    SLAThreshold,
    allowed_slow,
    judge,
    least_count,
    surely_slow_from,
)
from pipeline.telemetry.source import OwnEvents, Source
from pipeline.telemetry.windows import SLOT_NS

logger = logging.getLogger(__name__)

TICK_NS = SLOT_NS
"""Between two drains, unless a ring fills faster: one step of the finest window, which a drain then seldom
cuts in two."""
PEEK_NS = 25 * NS_PER_MS
"""Between two looks at how full the rings are: a default one takes 5.2 million records a second."""
BUSY_PEEK_NS = 5 * NS_PER_MS
"""The same after a ring was a quarter full."""
AFTER_STEP_NS = 1 * NS_PER_MS
"""A drain comes this much after a step has ended."""
SCAN_EVERY_NS = 200 * NS_PER_MS
"""Between two looks for new rings and for dead writers."""
JUDGE_EVERY_NS = SLOT_NS - 10 * NS_PER_MS
"""Hardly less than a step of the finest window, so that no drain of the regular ones is left out."""
SCRATCH_ENTRIES = 1 << 16
"""2 MiB, touched only as far as batches fill it."""
LEAST_ROOM = 1 << 10
"""The scratch is folded when less is left."""

SlaKey = tuple[SLAThreshold, float]


class Collector:
    """The reading side of a telemetry directory. One thread; `tick` about every TICK_NS."""

    def __init__(
        self,
        directory: Path,
        *,
        thresholds: Sequence[SLAThreshold] = DEFAULT_SLA + PIPELINE_SLA,
        windows_s: Sequence[float] = WINDOWS_S,
        now: Now = time.monotonic_ns,
    ) -> None:
        self.aggregate = Aggregate(windows_s)
        self.folder = RingFolder(directory)
        self.sources: list[Source] = []
        self.dead: deque[Dead] = deque(maxlen=limits.MAX_REMEMBERED_DEAD)
        self.deaths = 0
        """Writers that died since the start."""
        self.last_signs: dict[str, int] = {}
        """Of workers that have no ring any more: when they last gave a sign of life."""
        self.started_ns = now()
        self._thresholds = thresholds
        self._violated: set[SlaKey] = set()
        self._own_events = OwnEvents()
        self._known_subjects: list[_Subject] = []
        self._subjects_of = 0
        self._now = now
        self._scratch: Entries = np.empty((SCRATCH_ENTRIES, ENTRY_WORDS), dtype=np.int64)
        self._filled = 0
        self._spans: list[Span] = []
        self._scan_due_ns = 0
        self._judge_due_ns = 0

    def tick(self, *, final: bool = False) -> list[SLAResult]:
        """Take what is new. Returns the SLAs that were not violated before and are now.

        `final` looks for new rings and dead writers now, not when it is their time.
        """
        now_ns = self._now()
        self.aggregate.advance(now_ns)
        scan = final or now_ns >= self._scan_due_ns
        if scan:
            self._scan_due_ns = now_ns + SCAN_EVERY_NS
            self.sources.extend(self.folder.scan(now_ns))
        for source in list(self.sources):
            self._drain(source, now_ns)
        self._fold(now_ns)
        if scan:
            for source in [source for source in self.sources if source.reader.writer_is_gone()]:
                self._bury(source, now_ns)
        if now_ns < self._judge_due_ns and not final:
            return []
        self._judge_due_ns = now_ns + JUDGE_EVERY_NS
        return self._judge()

    @property
    def filling(self) -> bool:
        """Some ring is a quarter full: drain before the regular time."""
        return any(source.reader.waiting * 4 > source.reader.identity.capacity for source in self.sources)

    def lost(self) -> int:
        """Records lost since the start, for whatever reason."""
        return self.lost_of({key.subject for key, _ in self.aggregate.counters.totals()})

    def lost_of(self, stages: set[str]) -> int:
        """Records that writers of these stages lost since the start."""
        return sum(map(self.aggregate.counters.total, _loss_keys(stages)))

    def lost_within(self, stages: set[str], window_s: float) -> int:
        """Records that writers of these stages lost within a window."""
        return self.aggregate.counters.within(window_s, _loss_keys(stages))

    def results(self) -> list[SLAResult]:
        """Every SLA with data, over every window."""
        return [
            self._result(subject, window_s)
            for subject in self._subjects()
            for window_s in self.aggregate.latencies.windows
        ]

    def close(self) -> None:
        """Let go of every ring. Those of living writers stay for the next collector."""
        for source in self.sources:
            source.reader.close()
        self.sources.clear()

    def _drain(self, source: Source, now_ns: int, *, final: bool = False) -> None:
        try:
            source.last_sign_ns = max(source.last_sign_ns, min(source.reader.heartbeat_ns, now_ns))
            source.learn_names(self._own_events)
            more = True
            left = SCRATCH_ENTRIES + source.reader.identity.capacity  # a fast writer does not keep us here
            while more and left > 0:
                if len(self._scratch) - self._filled < LEAST_ROOM:
                    self._fold(now_ns)
                drained = source.reader.drain(self._scratch[self._filled :], final=final)
                if drained.lost:
                    self.aggregate.lose(source, drained, now_ns)
                if drained.kept:
                    self._spans.append(Span(source, self._filled, self._filled + drained.kept))
                    self._filled += drained.kept
                left -= drained.kept + 1
                more = drained.more and (final or self._filled == len(self._scratch))
        except RefusedRingError as error:
            self._fold(now_ns)
            self.folder.refuse(source, error)
            self._forget(source)

    def _fold(self, now_ns: int) -> None:
        if self._filled:
            self.aggregate.fold(self._scratch[: self._filled], self._spans, now_ns)
            self._filled = 0
            self._spans = []

    def _bury(self, source: Source, now_ns: int) -> None:
        """Fold what a gone writer left, say how it went, and remove its ring."""
        self._drain(source, now_ns, final=True)
        self._fold(now_ns)
        if source not in self.sources:  # refused meanwhile
            return
        if not source.reader.closed:
            self.deaths += 1
            keep_flight(source.reader)
            silent_ms = (now_ns - source.last_sign_ns) / NS_PER_MS
            inside = source.inside()
            pid = source.reader.identity.pid
            self.dead.append(Dead(name=source.worker, pid=pid, silent_ms=silent_ms, inside=inside))
            logger.warning(
                "worker %s (pid %d) died; last sign of life %.1f s before this was seen, inside %s",
                source.worker,
                pid,
                silent_ms / 1000,
                ", ".join(inside) or "nothing that was being measured",
            )
        self.last_signs[source.worker] = source.last_sign_ns
        while len(self.last_signs) > limits.MAX_RINGS:
            del self.last_signs[next(iter(self.last_signs))]
        self.folder.remove(source)
        self._forget(source)

    def _forget(self, source: Source) -> None:
        source.reader.close()
        self.sources.remove(source)

    def _judge(self) -> list[SLAResult]:
        """The rule's first half for every threshold and window: is it violated? And was it before?"""
        breaches: list[SLAResult] = []
        latencies, within = self.aggregate.latencies, self.aggregate.counters.within
        for window_s, window in latencies.windows.items():
            calls, counts = window.calls.running, window.counts.running
            for subject in self._subjects():
                violated = False
                count = sum([int(calls[series]) for series in subject.series])
                if count >= subject.least:
                    slow = sum([int(np.add.reduce(counts[tail])) for tail in subject.tails])
                    violated = slow > 0 and slow > allowed_slow(
                        count + within(window_s, subject.losses), subject.hundredths
                    )
                key = (subject.threshold, window_s)
                if violated and key not in self._violated:
                    self._violated.add(key)
                    breaches.append(self._result(subject, window_s))
                elif not violated:
                    self._violated.discard(key)
        return breaches

    def _result(self, subject: _Subject, window_s: float) -> SLAResult:
        window = self.aggregate.latencies.windows[window_s]
        counts = np.sum([window.row(series) for series in subject.series], axis=0)
        lost = self.aggregate.counters.within(window_s, subject.losses)
        return judge(counts, subject.threshold, window_s, lost)

    def _subjects(self) -> list[_Subject]:
        """Every threshold with data."""
        series = self.aggregate.latencies.series
        if len(series) != self._subjects_of:
            self._subjects_of = len(series)
            self._known_subjects = list(_subjects_of(series, self._thresholds))
        return self._known_subjects


class _Subject(NamedTuple):
    """What a threshold is about: the series of its event in every stage, and who may have lost some."""

    threshold: SLAThreshold
    hundredths: int
    least: int
    series: list[int]
    tails: list[slice]
    """Of each series the buckets that are surely too slow, as they lie in a window's array."""
    losses: list[CounterKey]


def _subjects_of(
    series: Mapping[tuple[str, int], int], thresholds: Sequence[SLAThreshold]
) -> Iterator[_Subject]:
    for threshold in thresholds:
        found = {group: one for (group, event_id), one in series.items() if event_id == threshold.event_id}
        if found:
            slow = surely_slow_from(threshold.limit_ns)
            yield _Subject(
                threshold,
                threshold.hundredths,
                least_count(threshold.hundredths),
                list(found.values()),
                [slice(one * BUCKETS + slow, (one + 1) * BUCKETS) for one in found.values()],
                _loss_keys(set(found)),
            )


def _loss_keys(stages: set[str]) -> list[CounterKey]:
    return [CounterKey(stage, LOST, which) for stage in stages for which in range(len(LOSS_REASONS))]
