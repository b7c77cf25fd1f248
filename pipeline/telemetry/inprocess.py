"""Drains a process's own rings into its own statistics."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.telemetry.layout import ENTRY_WORDS
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.ring import Ring
from pipeline.telemetry.ring_words import Entries
from pipeline.telemetry.source import Source
from pipeline.telemetry.stats import MetricsStats, checked_windows

SCRATCH_ENTRIES = 1 << 14


class InProcess:
    """The reading side of `MetricsCollector`; its caller holds a lock."""

    def __init__(self) -> None:
        self.stats = MetricsStats()
        self._scratch: Entries = np.empty((SCRATCH_ENTRIES, ENTRY_WORDS), dtype=np.int64)
        self._sources: weakref.WeakKeyDictionary[Ring, Source] = weakref.WeakKeyDictionary()

    def set_windows(self, windows_seconds: Sequence[float]) -> None:
        """Keep these windows, with the figures so far. Raises ValueError as MetricsStats does."""
        if checked_windows(windows_seconds) != self.stats.windows_seconds:
            stats = MetricsStats(windows_seconds, self.stats.thresholds)
            stats.take_over(self.stats)
            self.stats = stats

    def drain(self, rings: Sequence[tuple[Ring, Any]]) -> None:
        """Fold what is new in every ring."""
        for ring, _ in rings:
            source = self._sources.get(ring)
            if source is None:
                source = self._sources[ring] = Source(RingReader(ring.memory, ring.identity))
            left = ring.identity.capacity
            while left > 0:  # no longer than one lap: a busy thread does not keep us here
                drained = source.reader.drain(self._scratch)
                self.stats.fold(source, self._scratch, drained)
                left -= drained.kept
                if not drained.more:
                    break
