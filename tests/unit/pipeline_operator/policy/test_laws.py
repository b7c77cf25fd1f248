"""What holds for every decision, whatever is seen."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from sights import MS, START_US, S, a_spec, a_stage, learned, remembering, seen

from pipeline_operator.memory import Memory, decode_memory, encode_memory
from pipeline_operator.observation import Observation, StageObservation
from pipeline_operator.policy import decide
from pipeline_operator.record import Record, decode_record, encode_record
from pipeline_operator.spec import PipelineSpec, StageSpec

QUICK = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES = ("gateway", "agent", "exec", "audit")


@st.composite
def a_sight(draw: st.DrawFn, name: str) -> StageObservation:
    ready = draw(st.integers(0, 12))
    starting = draw(st.lists(st.integers(0, 200_000), max_size=4))
    return a_stage(
        name,
        ready=ready,
        replicas=ready + len(starting) + draw(st.integers(0, 2)),
        rate=draw(st.integers(0, 5000)),
        lag_ms=draw(st.none() | st.integers(0, 100_000)),
        throttled=draw(st.sampled_from([0, 0, 3, 500])),
        blocked_per_mille=draw(st.sampled_from([0, 0, 150, 1000])),
        answered=draw(st.sampled_from([ready, ready, max(0, ready - 1), 0])),
        age_ms=draw(st.sampled_from([0, 2999, 9000])),
        starting_ms=tuple(starting),
        started_ms=tuple(draw(st.lists(st.integers(0, 60_000), max_size=2))),
        foreign_us=draw(st.none() | st.integers(START_US - 900 * S, START_US)),
        fault=draw(st.sampled_from(["", "", "", "it is gone"])),
        revision=draw(st.sampled_from(["", "v2"])),
    )


@st.composite
def sights(draw: st.DrawFn) -> Observation:
    return Observation(stages=tuple(draw(a_sight(name)) for name in NAMES))


@st.composite
def specs(draw: st.DrawFn) -> PipelineSpec:
    return a_spec(
        mode=draw(st.sampled_from(["active", "recommend"])),
        replica_budget=draw(st.none() | st.integers(4, 50)),
    )


@st.composite
def memories(draw: st.DrawFn) -> Memory:
    """Empty, with learned capacities, or left by ticks before."""
    kind = draw(st.integers(0, 2))
    if kind == 0:
        return Memory()
    memory = remembering(START_US - S, agent={"capacity": learned(100)}, exec={"capacity": learned(60)})
    for tick in range(draw(st.integers(0, 3))):
        memory, _ = decide(a_spec(), draw(sights()), memory, START_US - (3 - tick) * 250 * MS)
    return memory


def movable(record: Record, stage: str) -> bool:
    fixed = {"Contested", "TargetFault", "SignalsStale", "Paused"}
    return not fixed & {effect.limiter for effect in record.stage(stage).effects}


@QUICK
@given(specs(), sights(), memories())
def test_a_decision_that_changes_anything_stays_within_its_bounds(
    spec: PipelineSpec, observation: Observation, memory: Memory
) -> None:
    _, record = decide(spec, observation, memory, START_US)
    for result in record.stages:
        stage = spec.stage(result.stage)
        if result.after > result.before:
            assert result.after <= stage.max_replicas
        if result.after < result.before:
            assert result.after >= stage.min_replicas


@QUICK
@given(specs(), sights(), memories())
def test_a_decision_exceeds_the_budget_by_what_the_minimums_need_and_no_more(
    spec: PipelineSpec, observation: Observation, memory: Memory
) -> None:
    _, record = decide(spec, observation, memory, START_US)
    before = sum(result.before for result in record.stages)
    after = sum(result.after for result in record.stages)
    if spec.replica_budget is not None and after > max(before, spec.replica_budget):
        least = {stage.name: stage.min_replicas for stage in spec.stages}
        raised = [result for result in record.stages if result.after > result.before]
        assert raised
        assert all(result.after <= least[result.stage] for result in raised)


@QUICK
@given(specs(), sights(), memories())
def test_stale_or_partial_signals_never_lower_and_raise_by_one_at_most(
    spec: PipelineSpec, observation: Observation, memory: Memory
) -> None:
    _, record = decide(spec, observation, memory, START_US)
    by_name = {stage.stage: stage for stage in observation.stages}
    for result in record.stages:
        speakers = [by_name[result.stage], *(by_name[name] for name in spec.stage(result.stage).upstream)]
        sources = [stage.signals.sources for stage in speakers]
        if any(its.answered < its.expected or its.oldest_ms > 3000 for its in sources):
            assert result.before <= result.after <= max(result.before, 0) + 1


@QUICK
@given(specs(), sights(), memories(), st.permutations(range(4)))
def test_the_order_of_the_lists_means_nothing(
    spec: PipelineSpec, observation: Observation, memory: Memory, order: list[int]
) -> None:
    shuffled = structs.replace(spec, stages=tuple(spec.stages[index] for index in order))
    sights = Observation(stages=tuple(observation.stages[index] for index in reversed(order)))
    memory_after, record = decide(spec, observation, memory, START_US)
    memory_shuffled, again = decide(shuffled, sights, memory, START_US)
    assert memory_after == memory_shuffled
    assert (record.stages, record.writes, record.conditions, record.sentence) == (
        again.stages,
        again.writes,
        again.conditions,
        again.sentence,
    )


@QUICK
@given(specs(), sights(), memories())
def test_a_record_replays_to_the_same_decision(
    spec: PipelineSpec, observation: Observation, memory: Memory
) -> None:
    _, record = decide(spec, observation, memory, START_US)
    read = decode_record(encode_record(record))
    _, again = decide(read.inputs.spec, read.inputs.observation, read.inputs.memory, read.at_us)
    assert again == record


@QUICK
@given(specs(), sights(), memories())
def test_a_memory_survives_a_restart(spec: PipelineSpec, observation: Observation, memory: Memory) -> None:
    after, _ = decide(spec, observation, memory, START_US)
    assert decode_memory(encode_memory(after)) == after


@QUICK
@given(specs(), sights(), memories())
def test_the_effects_lead_from_the_wish_to_the_decision(
    spec: PipelineSpec, observation: Observation, memory: Memory
) -> None:
    _, record = decide(spec, observation, memory, START_US)
    for result in record.stages:
        at = result.wanted
        for effect in result.effects:
            assert effect.before == at != effect.after
            at = effect.after
        assert at == result.after
        assert result.sentence


@QUICK
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 20_000), st.integers(0, 20_000))
def test_more_load_and_more_lag_never_want_fewer_replicas(
    rate: int, other_rate: int, lag_ms: int, other_lag_ms: int
) -> None:
    memory = remembering(agent={"capacity": learned(100)})
    low = {"rate": min(rate, other_rate), "lag_ms": min(lag_ms, other_lag_ms)}
    high = {"rate": max(rate, other_rate), "lag_ms": max(lag_ms, other_lag_ms)}
    assert wanted(memory, **low) <= wanted(memory, **high)


def wanted(memory: Memory, rate: int, lag_ms: int) -> int:
    """Of agents that do 400/s, under this load."""
    gateway = a_stage("gateway", ready=1, rate=rate)
    agent = a_stage("agent", ready=4, rate=min(rate, 400), lag_ms=lag_ms)
    return decide(a_spec(), seen(gateway=gateway, agent=agent), memory, START_US)[1].stage("agent").after


@settings(max_examples=6, deadline=None)
@given(st.integers(30, 1500), st.integers(40, 150), st.integers(1, 20))
def test_a_constant_load_does_not_flap(rate: int, each: int, first: int) -> None:
    """Once a minute's history is there, replicas settle: never up again after having gone down."""
    spec, replicas = a_spec(), first
    memory: Memory = remembering(agent={"capacity": learned(each)})
    path = [replicas]
    for tick in range(4 * 150):
        now_us = START_US + tick * 250 * MS
        lacking = rate - replicas * each
        agent: dict[str, Any] = {"rate": min(rate, replicas * each), "lag_ms": 1500 if lacking > 0 else 20}
        observation = seen(
            gateway=a_stage("gateway", ready=1, rate=rate), agent=a_stage("agent", ready=replicas, **agent)
        )
        memory, record = decide(spec, observation, memory, now_us)
        replicas = record.stage("agent").after
        if replicas != path[-1]:
            path.append(replicas)
    ups = [after > before for before, after in pairwise(path)]
    assert ups == sorted(ups, reverse=True), path
    assert replicas * each >= min(rate, 20 * each)


def test_stages_that_are_not_seen_are_not_decided_on_but_remembered() -> None:
    spec = PipelineSpec(stages=(StageSpec(name="one", target="one"), StageSpec(name="two", target="two")))
    memory, _ = decide(spec, Observation(stages=(a_stage("one"), a_stage("two"))), Memory(), START_US)
    after, record = decide(spec, Observation(stages=(a_stage("one"),)), memory, START_US + S)
    assert [result.stage for result in record.stages] == ["one"]
    assert [stage.stage for stage in after.stages] == ["one", "two"]
