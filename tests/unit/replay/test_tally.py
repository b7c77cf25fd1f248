from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.replay.tally import Tally, percentile, times


@given(st.lists(st.integers(0, 1000), min_size=1), st.sampled_from([1, 50, 95, 99, 99.9, 100]))
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(
    values: list[int], percent: float
) -> None:
    ordered = sorted(values)
    found = percentile(ordered, percent)
    need = percent / 100 * len(ordered)
    assert sum(value <= found for value in ordered) >= need - 1e-9
    assert sum(value < found for value in ordered) < need


def test_no_latencies_have_no_percentiles() -> None:
    assert times([]).count == 0
    assert times([]).p95_ms is None


def test_latency_counts_from_the_intended_moment() -> None:
    tally = Tally(["A"])
    tally.accept("A", due_ns=1_000_000, now_ns=3_000_000)
    result = tally.result(cpu_s=0.1, unconfirmed=0, stopped=False, fault="")
    assert result.times.max_ms == 2.0
    assert result.accepted == {"A": 1}
    assert result.total == 1


def test_progress_before_the_first_request_has_no_elapsed_time() -> None:
    assert Tally(["A"]).progress(10**12, 5).elapsed_s == 0.0
