"""Statistics of a process's own records: what `MetricsCollector` answers from."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline import limits
from pipeline.clock import NS_PER_S
from pipeline.telemetry.aggregate import Aggregate, Span
from pipeline.telemetry.counters import FACTS_LOST, LOST, TOLD_REASONS, CounterKey, loss_keys
from pipeline.telemetry.events import event_name
from pipeline.telemetry.latencies import WINDOWS_S, Figures
from pipeline.telemetry.omission import corrected
from pipeline.telemetry.reader import Drained
from pipeline.telemetry.ring import Now
from pipeline.telemetry.ring_words import Entries
from pipeline.telemetry.sketch import Sketch
from pipeline.telemetry.sla import DEFAULT_SLA, SLAResult, SLAThreshold, judge, violated
from pipeline.telemetry.source import Source
from pipeline.telemetry.windows import SLOT_NS


@dataclass(frozen=True, slots=True)
class PercentileStats:
    """One event over one window, nanoseconds; None where nothing was recorded.

    Percentiles are nearest-rank, within 0.39 %. `lost` calls have no record, in the window and by any event:
    with some, the percentiles understate the tail. Of calls that were sampled it may be too large (see
    `Aggregate.lose`).
    """

    event_id: int
    window_seconds: float
    p50: int | None
    p95: int | None
    p99: int | None
    p99_9: int | None
    count: int
    min: int | None
    max: int | None
    mean: float | None
    lost: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `event` is the name."""
        return {"event": event_name(self.event_id), **asdict(self)}


class MetricsStats:
    """Thread-safe latencies of one process over sliding windows."""

    def __init__(
        self,
        windows_seconds: Sequence[float] = WINDOWS_S,
        thresholds: Sequence[SLAThreshold] = DEFAULT_SLA,
        now: Now = time.monotonic_ns,
    ) -> None:
        """Raises ValueError for windows that are no numbers of seconds, or beyond what can be kept."""
        self.windows_seconds = checked_windows(windows_seconds)
        self.thresholds = tuple(thresholds)
        self._aggregate = Aggregate(self.windows_seconds)
        self._gauges: dict[int, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._now = now

    def take_over(self, other: MetricsStats) -> None:
        """Begin with all that another one has, whose windows may differ and which is used no more. What its
        slots tell of a window is in it; they may be longer than this one's."""
        with self._lock, other._lock:
            other._aggregate.advance(self._advance())
            self._aggregate.take_over(other._aggregate)
            self._gauges = other._gauges

    @property
    def calls(self) -> int:
        """Calls of all events since the beginning, lost ones too."""
        with self._lock:
            lost = sum(
                total
                for key, total in self._aggregate.counters.totals()
                if key.event_id == LOST and key.which != FACTS_LOST
            )
            return self._aggregate.latencies.totals.calls + lost

    def add(self, event_id: int, durations_ns: Iterable[int]) -> None:
        """Add latencies that end now, from anywhere but a ring. Raises ValueError for a negative one, and for
        one beyond MAX_DURATION_NS."""
        given = list(durations_ns)
        if given and min(given) < 0:
            raise ValueError(f"a duration of {min(given)} ns: must not be negative")
        if given and max(given) > limits.MAX_DURATION_NS:
            raise ValueError(f"a duration of {max(given)} ns: {limits.MAX_DURATION_NS} at most")
        values = np.array(given, dtype=np.int64)
        with self._lock:
            now_ns = self._advance()
            series = self._aggregate.latencies.series_of(_GROUP, int(event_id))
            if series is None:
                raise ValueError(f"event {event_id}: too many events are measured already")
            if len(values):
                everywhere = np.full(len(values), series, dtype=np.intp)
                self._aggregate.latencies.fold(everywhere, values, np.full(len(values), now_ns))

    def fold(self, source: Source, entries: Entries, drained: Drained) -> None:
        """Add what one ring gave."""
        with self._lock:
            now_ns = self._advance()
            if drained.lost:
                self._aggregate.lose(source, drained, now_ns)
            if drained.kept:
                self._aggregate.fold(entries[: drained.kept], [Span(source, 0, drained.kept)], now_ns)
                for (event_id, _), newest in source.gauges.items():
                    self._gauges[event_id] = max(newest, self._gauges.get(event_id, newest))

    def get_stats(
        self, event_id: int, window_seconds: float | None = None, *, expected_interval_ns: int | None = None
    ) -> PercentileStats:
        """One event over any window up to the longest that is kept; others than the kept ones move in the
        slots of the next longer one. `expected_interval_ns`: corrected for coordinated omission (see
        `omission`).

        Raises ValueError for a window that is too long or shorter than a tenth of a second.
        """
        with self._lock:
            self._advance()
            window = self.checked_window(window_seconds)
            if expected_interval_ns is None:
                return self._stats(event_id, window)
            sketch = self._aggregate.latencies.sketch(self._series(event_id), window)
            return self._of_sketch(event_id, window, corrected(sketch, expected_interval_ns))

    def get_count(self, event_id: int, window_seconds: float | None = None) -> int:
        """A counter, over a window or since the beginning."""
        key = CounterKey(_GROUP, int(event_id))
        with self._lock:
            self._advance()
            if window_seconds is None:
                return self._aggregate.counters.total(key)
            return self._aggregate.counters.within(self.checked_window(window_seconds), [key])

    def get_gauge(self, event_id: int) -> int | None:
        """The newest value of a gauge; None when it was never set."""
        with self._lock:
            found = self._gauges.get(int(event_id))
            return None if found is None else found[1]

    def get_all_stats(self, window_seconds: float | None = None) -> dict[int, PercentileStats]:
        """Every event seen so far."""
        with self._lock:
            self._advance()
            window = self.checked_window(window_seconds)
            events = sorted({event_id for _, event_id in self._aggregate.latencies.series})
            return {event_id: self._stats(event_id, window) for event_id in events}

    def judge(self, window_seconds: float | None = None) -> list[SLAResult]:
        """Every threshold over a window: met, violated or unknown."""
        with self._lock:
            self._advance()
            window = self.checked_window(window_seconds)
            return [
                judge(
                    self._aggregate.latencies.sketch(self._series(one.event_id), window).counts,
                    one,
                    window,
                    self._lost(window),
                )
                for one in self.thresholds
            ]

    def check_sla_violations(self, window_seconds: float | None = None) -> list[SLAResult]:
        """The thresholds that are violated for certain (see `pipeline.telemetry.sla`)."""
        return violated(self.judge(window_seconds))

    def get_refused(self) -> dict[str, int]:
        """Records that were written and cannot be true, such as a negative duration, by reason; and counts
        and gauges that found no room."""
        with self._lock:
            refused = dict(self._aggregate.refused)
            counters = self._aggregate.counters.totals()
            facts = sum(total for key, total in counters if (key.event_id, key.which) == (LOST, FACTS_LOST))
            return {**refused, TOLD_REASONS[FACTS_LOST]: facts} if facts else refused

    def rate_per_s(self, window_seconds: float = 1) -> float:
        """Calls a second over a window, of all events, as many as the kept entries stand for."""
        with self._lock:
            self._advance()
            window = self.checked_window(window_seconds)
            return int(self._aggregate.latencies.windows[window].calls.sum()) / window

    def _advance(self) -> int:
        now_ns = self._now()
        self._aggregate.advance(now_ns)
        return now_ns

    def checked_window(self, window_seconds: float | None) -> float:
        """A window that can be asked for; for None the last minute, or the longest kept if that is shorter.

        Raises ValueError when it is too long or shorter than a tenth of a second.
        """
        if window_seconds is None:
            return min(DEFAULT_WINDOW_S, self.windows_seconds[-1])
        if not SLOT_NS / NS_PER_S <= window_seconds <= self.windows_seconds[-1]:
            kept = ", ".join(f"{window:g}" for window in self.windows_seconds)
            raise ValueError(
                f"window_seconds = {window_seconds}: from {SLOT_NS / NS_PER_S:g} to the longest kept; "
                f"these are kept: {kept}"
            )
        return window_seconds

    def _series(self, event_id: int) -> list[int]:
        return [one for (_, event), one in self._aggregate.latencies.series.items() if event == event_id]

    def _lost(self, window: float) -> int:
        groups = {group for group, _ in self._aggregate.latencies.series} | {_GROUP}
        return self._aggregate.counters.within(window, loss_keys(groups))

    def _stats(self, event_id: int, window: float) -> PercentileStats:
        found: Figures = self._aggregate.latencies.figures(self._series(event_id), window)
        return PercentileStats(
            event_id=int(event_id),
            window_seconds=window,
            p50=found.p50,
            p95=found.p95,
            p99=found.p99,
            p99_9=found.p99_9,
            count=found.count,
            min=found.minimum,
            max=found.maximum,
            mean=found.mean,
            lost=self._lost(window),
        )

    def _of_sketch(self, event_id: int, window: float, sketch: Sketch) -> PercentileStats:
        p50, p95, p99, p99_9 = sketch.quantiles() or (None,) * 4
        return PercentileStats(
            event_id=int(event_id),
            window_seconds=window,
            p50=p50,
            p95=p95,
            p99=p99,
            p99_9=p99_9,
            count=sketch.count,
            min=sketch.minimum if sketch.count else None,
            max=sketch.maximum if sketch.count else None,
            mean=sketch.mean,
            lost=self._lost(window),
        )


def checked_windows(windows_seconds: Sequence[float]) -> tuple[float, ...]:
    """In order. Raises ValueError for what cannot be windows."""
    try:
        found = tuple(sorted(windows_seconds))
        wrong = [one for one in found if not SLOT_NS / NS_PER_S <= one <= limits.MAX_WINDOW_S]
    except TypeError:
        found, wrong = (), []
    if wrong or not found:
        raise ValueError(
            f"windows_seconds = {windows_seconds!r}: at least one number of seconds, "
            f"each from {SLOT_NS / NS_PER_S:g} to {limits.MAX_WINDOW_S}"
        )
    return found


_GROUP = "process"
DEFAULT_WINDOW_S = 60
