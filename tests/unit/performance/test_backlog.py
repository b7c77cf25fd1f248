from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.performance import BacklogTracker

LAGS = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)


def test_lags_beside_their_threshold() -> None:
    tracker = BacklogTracker(100)
    for lag_ms in (50, 150, 150, 50, 150, 100):
        tracker.record(lag_ms)
    found = tracker.snapshot()
    assert (found.threshold_ms, found.max_lag_ms, found.latest_lag_ms) == (100, 150, 100)
    assert found.avg_lag_ms == pytest.approx(650 / 6)
    assert (found.p95_lag_ms, found.breach_rate, found.max_breach_streak) == (150, 0.5, 2)
    assert found.healthy is False


def test_one_straggler_of_many_is_not_a_backlog() -> None:
    tracker = BacklogTracker(100)
    for number in range(40):
        tracker.record(500 if number == 7 else 1)
    found = tracker.snapshot()
    assert (found.max_lag_ms, found.max_breach_streak, found.healthy) == (500, 1, True)


@given(lags=LAGS, threshold=st.floats(0.001, 1e6))
def test_it_agrees_with_the_definition(lags: list[float], threshold: float) -> None:
    tracker = BacklogTracker(threshold)
    for lag_ms in lags:
        tracker.record(lag_ms)
    found = tracker.snapshot()
    breaches = "".join("x" if lag_ms > threshold else " " for lag_ms in lags)
    assert found.breach_rate == breaches.count("x") / len(lags)
    assert found.max_breach_streak == max(map(len, breaches.split(" ")))
    assert found.p95_lag_ms == sorted(lags)[math.ceil(0.95 * len(lags)) - 1]
    assert (found.max_lag_ms, found.latest_lag_ms, found.samples) == (max(lags), lags[-1], len(lags))


def test_without_a_sample_nothing_is_known_and_nothing_is_well() -> None:
    found = BacklogTracker(1).snapshot()
    assert (found.samples, found.max_lag_ms, found.breach_rate, found.healthy) == (0, None, None, False)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1])
def test_what_is_no_lag_is_refused_by_name(value: float) -> None:
    with pytest.raises(ValueError, match="lag_ms = "):
        BacklogTracker(1).record(value)
    with pytest.raises(ValueError, match="backlog_threshold_ms = "):
        BacklogTracker(value)
