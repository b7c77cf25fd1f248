"""Messages wait for a stage's credit: do slow stages after it hold it, or are its own links too narrow?"""

from __future__ import annotations

import pytest
from msgspec import structs
from sights import START_US, a_spec, a_stage, remembering, seen

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
