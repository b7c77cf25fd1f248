"""How far behind: lags beside the threshold above which a backlog has built up."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from pipeline import limits
from pipeline.performance.figures import duration_ms, limit_ms, percentile


class Backlog(Struct, frozen=True, kw_only=True):
    """Lags in milliseconds; None where there is no sample.

    A breach is a lag above `threshold_ms`; `breach_rate` is the share of samples that breach (0 to 1) and
    `max_breach_streak` the most in a row. `healthy`: there are samples and their p95 keeps the threshold,
    so a single straggler is seen in `max_lag_ms` and is not yet a backlog. Percentiles are of the newest
    `limits.MAX_THROUGHPUT_SAMPLES`, everything else of all samples.
    """

    threshold_ms: float
    max_lag_ms: float | None
    avg_lag_ms: float | None
    p95_lag_ms: float | None
    latest_lag_ms: float | None
    breach_rate: float | None
    max_breach_streak: int
    samples: int
    healthy: bool


class BacklogTracker:
    """Raises ValueError naming a threshold or a lag that is no duration."""

    def __init__(self, threshold_ms: float) -> None:
        self._threshold_ms = limit_ms("backlog_threshold_ms", threshold_ms)
        self._newest: deque[float] = deque(maxlen=limits.MAX_THROUGHPUT_SAMPLES)
        self._samples = 0
        self._sum_ms = 0.0
        self._max_ms = 0.0
        self._breaches = 0
        self._streak = 0
        self._max_streak = 0

    def record(self, lag_ms: float) -> None:
        lag_ms = duration_ms("lag_ms", lag_ms)
        self._newest.append(lag_ms)
        self._samples += 1
        self._sum_ms += lag_ms
        self._max_ms = max(self._max_ms, lag_ms)
        if lag_ms > self._threshold_ms:
            self._breaches += 1
            self._streak += 1
            self._max_streak = max(self._max_streak, self._streak)
        else:
            self._streak = 0

    def snapshot(self) -> Backlog:
        if not self._samples:
            return Backlog(
                threshold_ms=self._threshold_ms,
                max_lag_ms=None,
                avg_lag_ms=None,
                p95_lag_ms=None,
                latest_lag_ms=None,
                breach_rate=None,
                max_breach_streak=0,
                samples=0,
                healthy=False,
            )
        p95_ms = percentile(sorted(self._newest), 95)
        return Backlog(
            threshold_ms=self._threshold_ms,
            max_lag_ms=self._max_ms,
            avg_lag_ms=self._sum_ms / self._samples,
            p95_lag_ms=p95_ms,
            latest_lag_ms=self._newest[-1],
            breach_rate=self._breaches / self._samples,
            max_breach_streak=self._max_streak,
            samples=self._samples,
            healthy=p95_ms <= self._threshold_ms,
        )
