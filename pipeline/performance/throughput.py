"""How much is handled and how quickly, over a rolling window."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from pipeline import limits
from pipeline.clock import NS_PER_S, Clock, SystemClock
from pipeline.performance.figures import duration_ms, limit_ms, percentile


class Throughput(Struct, frozen=True, kw_only=True):
    """What a window holds. Milliseconds; None where it holds nothing.

    `max_processing_ms` and `max_lag_ms` are the worst seen; `healthy` says that there are samples and that
    neither exceeds its limit: nothing measured is not health. `dropped` samples were pushed out of a full
    window by newer ones, so it is shorter than `window_s`.
    """

    samples: int
    max_processing_ms: float | None
    max_lag_ms: float | None
    healthy: bool
    avg_processing_ms: float | None
    p95_processing_ms: float | None
    per_second: float
    window_s: float
    processing_limit_ms: float
    lag_limit_ms: float
    dropped: int = 0


class ThroughputMonitor:
    """Samples of the last `window_s` seconds, beside the limits that they should keep.

    `record` is cheap (no sorting); `snapshot` sorts. Belongs to one thread. Raises ValueError naming a
    limit that is NaN, infinite, negative or zero.
    """

    def __init__(
        self,
        *,
        max_processing_ms: float,
        max_lag_ms: float,
        window_s: float = 60.0,
        clock: Clock | None = None,
    ) -> None:
        self._processing_limit_ms = limit_ms("max_processing_ms", max_processing_ms)
        self._lag_limit_ms = limit_ms("max_lag_ms", max_lag_ms)
        self._window_ns = int(limit_ms("window_s", window_s) * NS_PER_S)
        self._now_ns = (clock or SystemClock()).monotonic_ns
        self._samples: deque[tuple[int, float, float]] = deque(maxlen=limits.MAX_THROUGHPUT_SAMPLES)
        self._dropped = 0

    def record(self, processing_ms: float, lag_ms: float = 0.0) -> None:
        """One thing handled: its own time and its wait. Raises ValueError if they are no times."""
        sample = duration_ms("processing_ms", processing_ms), duration_ms("lag_ms", lag_ms)
        samples = self._samples
        if len(samples) == samples.maxlen:
            self._dropped += 1
        samples.append((self._now_ns(), *sample))

    def snapshot(self) -> Throughput:
        """The window as of now."""
        samples = self._samples
        oldest_ns = self._now_ns() - self._window_ns
        while samples and samples[0][0] <= oldest_ns:
            samples.popleft()
        if len(samples) < limits.MAX_THROUGHPUT_SAMPLES:
            self._dropped = 0
        processing = sorted(sample[1] for sample in samples)
        lag_ms = max((sample[2] for sample in samples), default=None)
        return Throughput(
            samples=len(processing),
            max_processing_ms=processing[-1] if processing else None,
            max_lag_ms=lag_ms,
            healthy=lag_ms is not None
            and processing[-1] <= self._processing_limit_ms
            and lag_ms <= self._lag_limit_ms,
            avg_processing_ms=sum(processing) / len(processing) if processing else None,
            p95_processing_ms=percentile(processing, 95) if processing else None,
            per_second=self._per_second(),
            window_s=self._window_ns / NS_PER_S,
            processing_limit_ms=self._processing_limit_ms,
            lag_limit_ms=self._lag_limit_ms,
            dropped=self._dropped,
        )

    def _per_second(self) -> float:
        """Over the span from the first sample to the last; a single one has no rate."""
        samples = self._samples
        span_ns = samples[-1][0] - samples[0][0] if samples else 0
        return (len(samples) - 1) * NS_PER_S / span_ns if span_ns else 0.0
