from __future__ import annotations

import math

import pytest

from pipeline import limits
from pipeline.clock import FakeClock
from pipeline.performance import ThroughputMonitor


def monitor(clock: FakeClock, window_s: float = 60) -> ThroughputMonitor:
    return ThroughputMonitor(max_processing_ms=150, max_lag_ms=100, window_s=window_s, clock=clock)


def test_a_window_tells_its_samples_and_their_worst() -> None:
    clock = FakeClock()
    watched = monitor(clock)
    for processing_ms, lag_ms in ((10, 1), (40, 3), (20, 2)):
        watched.record(processing_ms, lag_ms)
        clock.advance(ms=500)
    found = watched.snapshot()
    assert (found.samples, found.max_processing_ms, found.max_lag_ms, found.healthy) == (3, 40, 3, True)
    assert found.avg_processing_ms == pytest.approx(70 / 3)
    assert found.per_second == 2


def test_what_has_left_the_window_counts_no_more() -> None:
    clock = FakeClock()
    watched = monitor(clock, window_s=10)
    watched.record(1000)
    clock.advance(s=9.999)
    assert watched.snapshot().max_processing_ms == 1000
    clock.advance(ms=1)
    watched.record(5)
    assert (watched.snapshot().samples, watched.snapshot().healthy) == (1, True)


def test_nothing_measured_is_not_health() -> None:
    found = monitor(FakeClock()).snapshot()
    assert (found.samples, found.max_processing_ms, found.max_lag_ms, found.healthy) == (0, None, None, False)


@pytest.mark.parametrize(
    ("processing_ms", "lag_ms", "healthy"), [(150, 100, True), (150.1, 0, False), (0, 100.1, False)]
)
def test_either_limit_is_enough(processing_ms: float, lag_ms: float, healthy: bool) -> None:
    watched = monitor(FakeClock())
    watched.record(processing_ms, lag_ms)
    assert watched.snapshot().healthy is healthy


@pytest.mark.parametrize("value", [math.nan, math.inf, -1])
def test_what_is_no_duration_is_refused_by_name(value: float) -> None:
    watched = monitor(FakeClock())
    with pytest.raises(ValueError, match="processing_ms = "):
        watched.record(value)
    with pytest.raises(ValueError, match="lag_ms = "):
        watched.record(1, value)
    with pytest.raises(ValueError, match="max_lag_ms = "):
        ThroughputMonitor(max_processing_ms=1, max_lag_ms=value)
    assert watched.snapshot().samples == 0


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="max_processing_ms = 0: must be above 0"):
        ThroughputMonitor(max_processing_ms=0, max_lag_ms=1)


def test_a_full_window_forgets_the_oldest_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_THROUGHPUT_SAMPLES", 3)
    watched = monitor(FakeClock())
    for number in range(5):
        watched.record(number)
    assert (watched.snapshot().samples, watched.snapshot().dropped) == (3, 2)
