"""Messages wait for a stage's credit: do slow stages after it hold it, or are its own links too narrow?"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from sights import MS, START_US, a_spec, a_stage, remembering, seen

from pipeline_operator.flow import stages_after
from pipeline_operator.observation import StageObservation
from pipeline_operator.policy import decide
from pipeline_operator.record import ConditionType, Record
from pipeline_operator.spec import StageSpec


def decided(*, exec_lag_ms: int | None, audit_lag_ms: int | None = 20, agent_most: int = 20) -> Record:
    """An agent with nothing to do, whose every message waited for credit; the gateway keeps 40 s of them."""
    spec = a_spec()
    agent = structs.replace(spec.stages[1], max_replicas=agent_most)
    spec = structs.replace(spec, stages=(spec.stages[0], agent, *spec.stages[2:]))
    sight = seen(
        gateway=a_stage("gateway", ready=1, rate=40, blocked_per_mille=900),
        agent=idle(a_stage("agent", ready=1, rate=40, lag_ms=40_000, throttled=40, depth=0)),
        exec=a_stage("exec", ready=6, rate=40, lag_ms=exec_lag_ms),
        audit=a_stage("audit", ready=1, rate=40, lag_ms=audit_lag_ms),
    )
    return decide(spec, sight, remembering(agent={"ready": 1}), START_US)[1]


def over_time(seconds: int, *, exec_lag_ms: int = 20, audit_lag_ms: int = 20) -> list[Record]:
    """The same sight, four times a second, whatever is decided."""
    memory, records = remembering(agent={"ready": 1}), []
    for tick in range(seconds * 4):
        sight = seen(
            gateway=a_stage("gateway", ready=1, rate=40, blocked_per_mille=900),
            agent=idle(a_stage("agent", ready=1, rate=40, lag_ms=40_000, throttled=40, depth=0)),
            exec=a_stage("exec", ready=6, rate=40, lag_ms=exec_lag_ms),
            audit=a_stage("audit", ready=1, rate=40, lag_ms=audit_lag_ms),
        )
        memory, record = decide(a_spec(), sight, memory, START_US + tick * 250 * MS)
        records.append(record)
    return records


@pytest.mark.parametrize("exec_lag_ms", [250, 400, 499])
def test_a_stage_that_meets_its_own_sla_is_raised_for_one_that_waits_for_it(exec_lag_ms: int) -> None:
    records = over_time(30, exec_lag_ms=exec_lag_ms)
    raised = [number / 4 for number, record in enumerate(records) if record.stage("exec").after > 6]
    assert raised
    assert 10 <= raised[0] < 11, "not for a moment's sake"
    assert len(raised) <= 3, "and each has its time to show what it brings"
    assert not any(record.stage("agent").after > 1 for record in records)
    sentence = records[int(raised[0] * 4)].stage("exec").sentence
    assert "agent has had its lag 40,000 ms above 1,000 ms for 10 s and waits for it" in sentence


@pytest.mark.parametrize("audit_lag_ms", [250, 900, 1_001])
def test_where_that_one_cannot_scale_it_is_told_and_by_its_name(audit_lag_ms: int) -> None:
    for record in over_time(30, audit_lag_ms=audit_lag_ms)[44:]:
        told = {one.type: one for one in record.conditions}
        assert told[ConditionType.AT_CAPACITY].status == "True"
        assert "audit" in told[ConditionType.AT_CAPACITY].message
        assert told[ConditionType.BOTTLENECK_ELSEWHERE].message.endswith("agent waits for audit")


@given(lags=st.lists(st.integers(0, 3_000), min_size=2, max_size=2))
@settings(max_examples=25, deadline=None)
def test_a_violated_stage_is_never_left_alone(lags: list[int]) -> None:
    """Within a quarter of a minute somebody is raised, or is told to be at capacity."""
    records = over_time(15, exec_lag_ms=lags[0], audit_lag_ms=lags[1])
    acted = any(
        record.stage(name).after > before
        for record in records
        for name, before in (("agent", 1), ("exec", 6))
    )
    told = {one.type: one for one in records[-1].conditions}
    assert acted or told[ConditionType.AT_CAPACITY].status == "True", told


def idle(stage: StageObservation) -> StageObservation:
    return structs.replace(stage, signals=structs.replace(stage.signals, cpu_per_mille=50))


@pytest.mark.parametrize("exec_lag_ms", [20, 214, 249])
def test_where_nothing_waits_behind_it_the_stage_gets_more_links(exec_lag_ms: int) -> None:
    record = decided(exec_lag_ms=exec_lag_ms)
    assert record.stage("agent").after > 1
    assert "waits for" not in record.stage("agent").sentence


@pytest.mark.parametrize(("exec_lag_ms", "audit_lag_ms"), [(250, 20), (5_000, 20), (20, 5_000)])
def test_where_messages_wait_behind_it_more_of_it_would_wait_as_well(
    exec_lag_ms: int, audit_lag_ms: int
) -> None:
    record = decided(exec_lag_ms=exec_lag_ms, audit_lag_ms=audit_lag_ms)
    assert record.stage("agent").after == 1


def test_where_nobody_tells_it_is_not_guessed() -> None:
    assert decided(exec_lag_ms=None).stage("agent").after == 1
    assert decided(exec_lag_ms=20, audit_lag_ms=None).stage("agent").after == 1


def test_at_its_maximum_it_is_told_to_be_at_capacity() -> None:
    told = {one.type: one for one in decided(exec_lag_ms=20, agent_most=1).conditions}
    assert told[ConditionType.AT_CAPACITY].status == "True"
    assert "agent wants" in told[ConditionType.AT_CAPACITY].message
    assert "agent waits for credit" not in told[ConditionType.BOTTLENECK_ELSEWHERE].message


def test_the_stages_after_one_are_all_that_its_messages_come_to() -> None:
    def a_stage_spec(name: str, *upstream: str) -> StageSpec:
        return StageSpec(name=name, target=name, upstream=upstream)

    stages = (
        a_stage_spec("d", "b", "c"), a_stage_spec("a"), a_stage_spec("b", "a"), a_stage_spec("c", "a"),
        a_stage_spec("e"),
    )  # fmt: skip
    assert sorted(stage.name for stage in stages_after("a", stages)) == ["b", "c", "d"]
    assert [stage.name for stage in stages_after("b", stages)] == ["d"]
    assert stages_after("d", stages) == stages_after("e", stages) == ()
