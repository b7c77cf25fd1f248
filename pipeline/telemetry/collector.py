"""Drains every ring of a telemetry directory into one aggregate, and outlives all that it may find there."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline import limits
from pipeline.clock import NS_PER_MS
from pipeline.snapshot import Dead
from pipeline.telemetry.aggregate import Aggregate, Span
from pipeline.telemetry.counters import LOSS_REASONS, LOST, CounterKey
from pipeline.telemetry.discovery import RingFolder
from pipeline.telemetry.latencies import WINDOWS_S
from pipeline.telemetry.layout import ENTRY_WORDS, RefusedRingError
from pipeline.telemetry.reader import Entries
from pipeline.telemetry.ring import Now
from pipeline.telemetry.sketch import Ints
from pipeline.telemetry.sla import (
    DEFAULT_SLA,
    PIPELINE_SLA,
    SLAResult,
    SLAThreshold,
    Verdict,
    judge,
    verdict_of,
)
from pipeline.telemetry.source import Source

logger = logging.getLogger(__name__)

TICK_NS = 50 * NS_PER_MS
"""Between two drains: a full default ring then takes 2.6 million records a second before it drops."""
SCAN_EVERY_NS = 200 * NS_PER_MS
"""Between two looks for new rings and for dead writers."""
JUDGE_EVERY_NS = 100 * NS_PER_MS
"""One step of the finest window."""
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
        self.last_signs: dict[str, int] = {}
        """Of workers that have no ring any more: when they last gave a sign of life."""
        self.started_ns = now()
        self._thresholds = thresholds
        self._verdicts: dict[SlaKey, Verdict] = {}
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
            judge(counts, threshold, window_s, lost) for threshold, window_s, counts, lost in self._judged()
        ]

    def close(self) -> None:
        """Let go of every ring. Those of living writers stay for the next collector."""
        for source in self.sources:
            source.reader.close()
        self.sources.clear()

    def _drain(self, source: Source, now_ns: int, *, final: bool = False) -> None:
        try:
            source.last_sign_ns = max(source.last_sign_ns, min(source.reader.heartbeat_ns, now_ns))
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
        breaches: list[SLAResult] = []
        for threshold, window_s, counts, lost in self._judged():
            verdict = verdict_of(counts, threshold, lost)
            before = self._verdicts.get((threshold, window_s))
            self._verdicts[threshold, window_s] = verdict
            if verdict is Verdict.VIOLATED and before is not Verdict.VIOLATED:
                breaches.append(judge(counts, threshold, window_s, lost))
        return breaches

    def _judged(self) -> Iterator[tuple[SLAThreshold, float, Ints, int]]:
        """Every threshold with data, over every window: its buckets and what was lost."""
        latencies = self.aggregate.latencies
        for threshold in self._thresholds:
            found = {
                group: series
                for (group, event_id), series in latencies.series.items()
                if event_id == threshold.event_id
            }
            if not found:
                continue
            for window_s, window in latencies.windows.items():
                rows = [window.row(series) for series in found.values()]
                counts = rows[0] if len(rows) == 1 else np.sum(rows, axis=0)
                yield threshold, window_s, counts, self.lost_within(set(found), window_s)


def _loss_keys(stages: set[str]) -> list[CounterKey]:
    return [CounterKey(stage, LOST, which) for stage in stages for which in range(len(LOSS_REASONS))]
