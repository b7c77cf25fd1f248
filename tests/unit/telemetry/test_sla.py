"""Three-valued verdicts: certain whatever was lost, or unknown."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.telemetry.events import EventID
from pipeline.telemetry.sketch import Sketch
from pipeline.telemetry.sla import (
    COLLECTOR_SLA,
    DEFAULT_SLA,
    SLAThreshold,
    Verdict,
    judge,
    least_count,
    thresholds_ms,
    told_thresholds,
    verdict_of,
    violated,
)

LIMIT = 1 << 20  # an edge of the buckets, so that brute force is exact
P95 = SLAThreshold(1, 95, LIMIT)


def verdict(values: list[int], lost: int = 0, threshold: SLAThreshold = P95) -> Verdict:
    sketch = Sketch()
    sketch.add(values)
    return verdict_of(sketch.counts, threshold, lost)


def holds(values: list[int], percentile_of_20: int) -> bool:
    """Whether the nearest-rank percentile (in twentieths) is below the limit."""
    rank = -(-len(values) * percentile_of_20 // 20)
    return sorted(values)[rank - 1] < LIMIT


@pytest.mark.parametrize(("hundredths", "count"), [(5000, 2), (9500, 20), (9900, 100), (9990, 1000)])
def test_a_percentile_needs_so_many_calls(hundredths: int, count: int) -> None:
    assert least_count(hundredths) == count


@pytest.mark.parametrize("percentile", [0, 0.004, 0.001, 99.995, 99.999, 95.123, 100, float("nan"), -1])
def test_a_percentile_that_cannot_be_judged_is_refused_by_its_value(percentile: float) -> None:
    with pytest.raises(ValueError, match=f"percentile {percentile}: "):
        SLAThreshold(1, percentile, LIMIT)


def test_every_hundredth_of_a_percent_can_be_judged() -> None:
    for hundredths in range(1, 10_000):
        one = SLAThreshold(1, hundredths / 100, LIMIT)
        assert one.hundredths == hundredths
        assert verdict([1] * 3, threshold=one) in (Verdict.MET, Verdict.UNKNOWN)


def test_too_few_calls_are_unknown_however_bad() -> None:
    assert verdict([LIMIT * 2] * 19) is Verdict.UNKNOWN
    assert verdict([LIMIT * 2] * 20) is Verdict.VIOLATED


def test_the_limit_itself_is_too_long() -> None:
    assert verdict([1] * 19 + [LIMIT]) is Verdict.MET
    assert verdict([1] * 18 + [LIMIT] * 2) is Verdict.VIOLATED
    assert verdict([1] * 18 + [LIMIT - 1] * 2) is Verdict.MET


@given(st.integers(20, 60), st.integers(0, 12))
def test_without_losses_the_verdict_is_that_of_the_values(count: int, slow: int) -> None:
    values = [LIMIT] * slow + [1] * (count - slow)
    assert verdict(values) is (Verdict.MET if holds(values, 19) else Verdict.VIOLATED)


@given(st.integers(20, 50), st.integers(0, 8), st.integers(0, 5))
def test_with_losses_a_verdict_holds_for_every_completion(count: int, slow: int, lost: int) -> None:
    values = [LIMIT] * slow + [1] * (count - slow)
    found = {
        holds(values + [1] * fast + [LIMIT] * late, 19)
        for fast, late in product(range(lost + 1), repeat=2)
        if fast + late <= lost
    }
    answer = verdict(values, lost)
    if found == {True, False}:
        assert answer is Verdict.UNKNOWN
    elif answer is not Verdict.UNKNOWN:
        assert answer is (Verdict.MET if found == {True} else Verdict.VIOLATED)


def test_the_bucket_that_the_limit_cuts_through_proves_nothing() -> None:
    threshold = SLAThreshold(1, 95, 1_000_001)
    assert verdict([1_000_001] * 30, threshold=threshold) is Verdict.UNKNOWN


def test_a_result_carries_value_count_and_losses() -> None:
    sketch = Sketch()
    sketch.add([100] * 100)
    result = judge(sketch.counts, P95, 5, lost=2)
    assert (result.value_ns, result.count, result.lost, result.window_seconds) == (100, 100, 2, 5)
    assert violated([result]) == []


def test_the_defaults_are_those_asked_for() -> None:
    found = {(one.event_id, one.percentile): one.limit_ns // 1_000_000 for one in DEFAULT_SLA}
    assert found == {
        (1, 95): 50, (1, 99): 100, (2, 95): 10, (2, 99): 20,
        (3, 95): 20, (3, 99): 50, (5, 95): 5, (5, 99): 10,
    }  # fmt: skip


def test_thresholds_are_made_by_name() -> None:
    assert thresholds_ms(9, p99_9=1.5) == (SLAThreshold(9, 99.9, 1_500_000),)


@pytest.mark.parametrize(("percentile", "limit"), [(0, 1), (100, 1), (95, 0)])
def test_senseless_thresholds_are_refused(percentile: float, limit: int) -> None:
    with pytest.raises(ValueError, match="must"):
        SLAThreshold(1, percentile, limit)


def test_a_collector_judges_what_it_is_told_instead_of_its_own_of_that_event() -> None:
    told = {"AGENT_DECISION": {"p95": 3.5, "p99_9": 7.0}, "checkout": {"p50": 1.0}, "AUDIT_WRITE": {}}
    found = told_thresholds(told, {"checkout": 5000}.__getitem__)
    own = {(one.event_id, one.percentile, one.limit_ns) for one in found if one not in COLLECTOR_SLA}
    assert own == {
        (EventID.AGENT_DECISION, 95.0, 3_500_000),
        (EventID.AGENT_DECISION, 99.9, 7_000_000),
        (5000, 50.0, 1_000_000),
    }
    others = {
        one for one in COLLECTOR_SLA if one.event_id not in (EventID.AGENT_DECISION, EventID.AUDIT_WRITE)
    }
    assert {one for one in found if one in COLLECTOR_SLA} == others
    assert told_thresholds({}, int) == COLLECTOR_SLA
