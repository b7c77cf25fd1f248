"""The stage that nobody comes after can wait for nobody: its lag is its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from sights import START_US, a_spec, a_stage, remembering, seen

from pipeline_operator.policy import decide
from pipeline_operator.record import ConditionType, Record
from pipeline_operator.spec import PipelineSpec


def with_audits(most: int) -> PipelineSpec:
    spec = a_spec()
    return structs.replace(
        spec, stages=(*spec.stages[:-1], structs.replace(spec.stages[-1], max_replicas=most))
    )


def decided(spec: PipelineSpec, *, lag_ms: int, cpu_per_mille: int, throttled: int = 0) -> Record:
    """An audit that does 100 messages a second, with a processor that has little to do: its disk has."""
    audit = a_stage("audit", ready=1, rate=100, lag_ms=lag_ms, depth=0, throttled=throttled)
    audit = structs.replace(audit, signals=structs.replace(audit.signals, cpu_per_mille=cpu_per_mille))
    _, record = decide(spec, seen(gateway=a_stage("gateway", ready=1), audit=audit), remembering(), START_US)
    return record


@pytest.mark.parametrize("cpu_per_mille", [15, 250])
@pytest.mark.parametrize("throttled", [0, 20])
def test_it_is_raised_where_it_may_be_however_idle_its_processor_is(
    cpu_per_mille: int, throttled: int
) -> None:
    record = decided(with_audits(4), lag_ms=5_000, cpu_per_mille=cpu_per_mille, throttled=throttled)
    assert record.stage("audit").after == 2


def test_where_it_may_not_be_it_is_told_to_be_at_capacity() -> None:
    record = decided(with_audits(1), lag_ms=16_000, cpu_per_mille=15)
    told = {condition.type: condition for condition in record.conditions}
    assert record.stage("audit").after == 1
    assert told[ConditionType.AT_CAPACITY].status == "True"
    assert "audit wants" in told[ConditionType.AT_CAPACITY].message
    assert "nobody" not in told[ConditionType.BOTTLENECK_ELSEWHERE].message


@given(lag_ms=st.integers(0, 60_000), cpu_per_mille=st.integers(0, 1000), throttled=st.integers(0, 100))
def test_it_never_waits_for_others(lag_ms: int, cpu_per_mille: int, throttled: int) -> None:
    record = decided(with_audits(4), lag_ms=lag_ms, cpu_per_mille=cpu_per_mille, throttled=throttled)
    told = {condition.type: condition.message for condition in record.conditions}
    assert "audit waits for credit" not in told[ConditionType.BOTTLENECK_ELSEWHERE]
