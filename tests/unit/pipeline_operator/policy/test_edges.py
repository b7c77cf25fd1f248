"""Rules of the policy where they end: what does not count, and what is not to be blamed."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from sights import START_US, S, a_minute, a_spec, a_stage, learned, remembering, seen

from pipeline_operator.memory import Memory, Raise, Second, StageMemory
from pipeline_operator.observation import FaultReason, LatencySignal, SlaVerdict, StageObservation
from pipeline_operator.policy import decide
from pipeline_operator.policy.starts import start_limit_ms
from pipeline_operator.record import ConditionType, Record
from pipeline_operator.spec import LatencySla, PipelineSpec, Slas, StageSpec, Tuning

NOW = START_US
NOW_S = NOW // S
SLOW = LatencySla(event="AGENT_DECISION", percentile_basis_points=9500, limit_ms=30)
TOO_SLOW = LatencySignal(event="AGENT_DECISION", percentile_basis_points=9500, limit_ms=30, window_ms=1000,
                         count=100, value_us=45_000, verdict=SlaVerdict.VIOLATED)  # fmt: skip


def decided(
    memory: Memory | None = None, spec: PipelineSpec | None = None, **stages: StageObservation
) -> tuple[Memory, Record]:
    return decide(spec or a_spec(), seen(**stages), memory or Memory(), NOW)


def past_of(memory: Memory, stage: str) -> StageMemory:
    return next(one for one in memory.stages if one.stage == stage)


def shedding(stage: StageObservation, shed: int) -> StageObservation:
    windows = tuple(replace(one, shed=shed * one.window_ms // 1000) for one in stage.signals.windows)
    return replace(stage, signals=replace(stage.signals, windows=windows))


def with_latency_on(name: str, **changes: Any) -> PipelineSpec:
    stages = tuple(
        replace(stage, slas=Slas(latency=(SLOW,)), **changes) if stage.name == name else stage
        for stage in a_spec().stages
    )
    return a_spec(stages=stages)


# ---- few messages


def test_few_messages_with_a_lag_that_was_above_its_limit_only_at_times_raise_nothing() -> None:
    few, slow = a_stage("agent", lag_ms=9000, rate=3), a_stage("gateway", ready=1, rate=4)
    lags_ms = {NOW_S - back: 9000 for back in (0, 1, 3, 4, 5)} | {NOW_S - 2: 20}
    seconds = tuple(Second(at_s, 3000, lags_ms[at_s]) for at_s in sorted(lags_ms))
    _, record = decided(remembering(agent={"seconds": seconds}), gateway=slow, agent=few)
    assert record.stage("agent").after == 2
    assert record.stage("agent").effects[0].limiter == "LowCount"


def test_few_messages_with_a_lag_of_less_than_five_seconds_raise_nothing() -> None:
    few, slow = a_stage("agent", lag_ms=9000, rate=3), a_stage("gateway", ready=1, rate=4)
    seconds = tuple(Second(NOW_S - back, 3000, 9000) for back in (3, 2, 1, 0))
    _, record = decided(remembering(agent={"seconds": seconds}), gateway=slow, agent=few)
    assert record.stage("agent").after == 2


# ---- the flow


def test_stuck_pods_send_nothing_on() -> None:
    memory = remembering(
        agent={"capacity": learned(100), "starts_ms": (8000,) * 10}, exec={"capacity": learned(100)}
    )
    stuck = a_stage("agent", ready=2, replicas=5, rate=200, starting_ms=(60_000,) * 3)
    _, record = decided(memory, gateway=a_stage("gateway", ready=1, rate=1000), agent=stuck)
    assert record.stage("agent").after == 5, "more of what does not start helps nobody"
    assert record.stage("exec").demand_milli == 200_000
    assert record.stage("exec").after == 2


def test_a_root_stage_that_sheds_keeps_nobody_short() -> None:
    """What it refused never came in: stages after it see the load as it is."""
    memory = remembering(agent={"capacity": learned(100)})
    _, record = decided(
        memory, gateway=shedding(a_stage("gateway", ready=1), 50), agent=a_stage("agent", ready=10)
    )
    assert record.condition(ConditionType.BOTTLENECK_ELSEWHERE).status == "False"
    assert record.stage("agent").proposals[0].name == "lower"


# ---- capacity


def test_the_most_replicas_of_a_stage_that_waits_for_others_are_not_at_capacity() -> None:
    spec = with_latency_on("exec", max_replicas=2)
    slow = a_stage("exec", latencies=(TOO_SLOW,))
    _, full = decided(None, spec, exec=slow)
    assert full.condition(ConditionType.AT_CAPACITY).status == "True"
    starting = a_stage("exec", ready=1, replicas=2, starting_ms=(500,), latencies=(TOO_SLOW,))
    _, most = decided(None, spec, exec=starting)
    assert "exec has its maximum of 2, and its latency" in most.condition(ConditionType.AT_CAPACITY).message
    waits = a_stage("exec", latencies=(TOO_SLOW,), blocked_per_mille=900)
    _, blocked = decided(None, spec, exec=waits)
    assert blocked.condition(ConditionType.AT_CAPACITY).status == "False"
    _, starved = decided(None, spec, agent=a_stage("agent", lag_ms=900), exec=slow)
    assert starved.condition(ConditionType.AT_CAPACITY).status == "False"
    assert "exec is kept short" in starved.condition(ConditionType.BOTTLENECK_ELSEWHERE).message


# ---- the last raise


LAST_RAISE = Raise(at_us=NOW - 30 * S, from_replicas=2, to_replicas=4, handled_milli=200_000,
                   worst_per_mille=2000, ready_us=NOW - 20 * S)  # fmt: skip


def test_a_raise_is_not_called_ineffective_while_a_stage_before_it_holds_messages_up() -> None:
    useless = a_stage("exec", ready=4, rate=201, lag_ms=6000)
    memory, _ = decided(remembering(exec={"judged": LAST_RAISE}), exec=useless)
    assert past_of(memory, "exec").ineffective_us == NOW
    held_up = a_stage("agent", rate=201, lag_ms=6000)
    memory, _ = decided(remembering(exec={"judged": LAST_RAISE}), agent=held_up, exec=useless)
    assert past_of(memory, "exec").ineffective_us == 0
    assert past_of(memory, "exec").judged != LAST_RAISE, "it is not judged again either"


# ---- start times


@pytest.mark.parametrize(
    ("starts_ms", "limit_ms"),
    [((8000, 9000, 10_000), 15_000), ((8000, 10_000) * 5, 9000 + 3 * 1054 + 9 * 1054 // 10)],
)
def test_a_start_limit_is_well_above_the_longest_of_few(starts_ms: tuple[int, ...], limit_ms: int) -> None:
    """Mean and three standard deviations, and more while there are few."""
    assert start_limit_ms(starts_ms, Tuning()) == limit_ms > max(starts_ms)


# ---- the history


def test_a_clock_that_was_set_back_leaves_no_seconds_to_come() -> None:
    memory = remembering(NOW + 30 * S)
    after, _ = decided(memory)
    seconds = past_of(after, "agent").seconds
    assert [second.at_s for second in seconds] == [NOW_S - back for back in range(29, -1, -1)]
    assert len({second.at_s for second in seconds}) == len(seconds)


def test_the_history_is_a_minute_without_gaps_or_doubles() -> None:
    memory = remembering(NOW - 5 * S, agent={"seconds": a_minute(100_000, 20, NOW - 5 * S)})
    after, _ = decided(memory)
    times = [second.at_s for second in past_of(after, "agent").seconds]
    assert times == sorted(set(times))
    assert times[0] == NOW_S - 59
    assert times[-1] == NOW_S


def test_a_stage_without_an_upstream_spec_is_a_root() -> None:
    spec = PipelineSpec(stages=(StageSpec(name="agent", target="agent", max_replicas=9),))
    _, record = decide(spec, seen(agent=a_stage("agent", rate=300)), Memory(), NOW)
    assert record.stage("agent").demand_milli == 300_000


# ---- events that nobody records


def recording(stage: StageObservation, *events: str) -> StageObservation:
    return replace(stage, signals=replace(stage.signals, events=events))


def with_an_sla_on(event: str) -> PipelineSpec:
    spec = with_latency_on("agent")
    slas = Slas(latency=(replace(SLOW, event=event),))
    return replace(
        spec,
        stages=tuple(replace(one, slas=slas) if one.name == "agent" else one for one in spec.stages),
    )


def test_an_event_that_nobody_records_is_named_with_those_that_are() -> None:
    agent = recording(a_stage("agent"), "AGENT_CONSUME", "AGENT_DECISION")
    _, record = decided(None, with_an_sla_on("NOPE"), agent=agent)
    told = record.condition(ConditionType.SIGNALS_STALE)
    assert (told.status, told.reason) == ("True", "EventUnknown")
    assert told.message == (
        "agent: nobody has recorded NOPE, so that its latency SLA cannot be judged; "
        "recorded are AGENT_CONSUME, AGENT_DECISION"
    )
    assert "nobody has recorded NOPE" in record.stage("agent").sentence
    _, sound = decided(None, with_an_sla_on("AGENT_DECISION"), agent=agent)
    assert sound.condition(ConditionType.SIGNALS_STALE).status == "False"


@pytest.mark.parametrize(
    ("event", "rate", "events", "told"),
    [
        ("NOPE", 0, ("GC_PAUSE",), True),
        ("AGENT_DECISION", 0, ("GC_PAUSE",), False),  # nothing was decided yet
        ("AUDIT_WRITE", 100, ("GC_PAUSE", "AGENT_DECISION"), True),
        ("NOPE", 100, (), False),  # nobody tells of any event: nothing is proved
        ("NOPE", 100, tuple(f"E{number:02}" for number in range(64)), False),  # they may have been cut off
    ],
)
def test_an_event_is_unknown_once_its_stage_tells_of_others(
    event: str, rate: int, events: tuple[str, ...], told: bool
) -> None:
    agent = recording(a_stage("agent", rate=rate), *events)
    _, record = decided(None, with_an_sla_on(event), agent=agent)
    assert (record.condition(ConditionType.SIGNALS_STALE).reason == "EventUnknown") == told


# ---- targets that cannot be scaled


def test_a_target_of_an_autoscaler_has_its_pods_and_is_not_scaled() -> None:
    rival = a_stage("agent", lag_ms=9000, fault="an HPA scales it", fault_reason=FaultReason.AUTOSCALED)
    _, record = decided(agent=rival)
    assert record.condition(ConditionType.READY).status == "True"
    active = record.condition(ConditionType.SCALING_ACTIVE)
    assert (active.status, active.reason) == ("False", "TargetAutoscaled")
    assert active.message == "agent: an HPA scales it"
    assert record.condition(ConditionType.SIGNALS_STALE).status == "False", "its collectors are asked"
    assert record.stage("agent").after == record.stage("agent").before
    _, short = decided(agent=replace(rival, ready=0))
    assert short.condition(ConditionType.READY).reason == "PodsMissing"


@pytest.mark.parametrize(
    ("reason", "ready", "active"),
    [
        (FaultReason.MISSING, "StagesMissing", "TargetMissing"),
        (FaultReason.TAKEN, "StagesTaken", "TargetTaken"),
        (None, "StagesMissing", "TargetFault"),
    ],
)
def test_a_target_that_is_missing_or_another_s_is_not_ready(
    reason: FaultReason | None, ready: str, active: str
) -> None:
    _, record = decided(agent=a_stage("agent", fault="no", fault_reason=reason))
    assert (record.condition(ConditionType.READY).status, record.condition(ConditionType.READY).reason) == (
        "False",
        ready,
    )
    assert record.condition(ConditionType.SCALING_ACTIVE).reason == active


def test_where_nobody_is_asked_nobody_is_said_to_answer_in_time() -> None:
    def told(reason: FaultReason, ready: int) -> tuple[str, str, str]:
        stages = {
            name: a_stage(name, ready=ready, fault="no", fault_reason=reason)
            for name in ("gateway", "agent", "exec", "audit")
        }
        found = decided(None, None, **stages)[1].condition(ConditionType.SIGNALS_STALE)
        return found.status, found.reason, found.message

    assert told(FaultReason.MISSING, 0) == (
        "Unknown", "NobodyAsked", "no collector was asked: no pod of a stage is ready"
    )  # fmt: skip
    assert told(FaultReason.TAKEN, 2) == (
        "Unknown", "NobodyAsked", "no collector was asked: every stage is another Pipeline's"
    )  # fmt: skip
    assert told(FaultReason.AUTOSCALED, 2)[0] == "False"


def test_collectors_of_another_s_target_are_not_waited_for() -> None:
    silent = a_stage("agent", answered=0, fault="no", fault_reason=FaultReason.TAKEN)
    _, record = decided(agent=silent)
    assert "agent" not in record.condition(ConditionType.SIGNALS_STALE).message


# ---- one of a thing


def test_one_of_a_thing_is_no_plural() -> None:
    hot: dict[str, Any] = {"lag_ms": 9000, "rate": 200}
    spec = a_spec(tuning=Tuning(contested_hold_ms=60_000))
    busy = a_stage("gateway", ready=1, rate=300)
    _, record = decided(None, spec, gateway=busy, agent=a_stage("agent", ready=1, foreign_us=NOW - S, **hot))
    told = record.condition(ConditionType.CONTESTED).message
    assert told == "somebody else set agent to 1 replica, which is respected for 1 minute since"
    assert "somebody else changed the replicas less than 1 minute ago" in record.stage("agent").sentence
    brief = a_spec(tuning=Tuning(contested_hold_ms=3_000))
    _, record = decided(None, brief, agent=a_stage("agent", ready=1, foreign_us=NOW - S, **hot))
    assert record.condition(ConditionType.CONTESTED).message.endswith("for 3 s since")
    memory = remembering(agent={"capacity": learned(100), "starts_ms": (8000,) * 10})
    one = a_stage("agent", ready=2, replicas=3, rate=200, starting_ms=(60_000,))
    _, record = decided(memory, gateway=a_stage("gateway", ready=1, rate=800), agent=one)
    assert "1 pod does not start" in record.stage("agent").sentence
    assert "1 pod of agent should have started by now and does not count" in (
        record.condition(ConditionType.PODS_STUCK).message
    )
    _, record = decided(exec=a_stage("exec", ready=1, answered=0))
    assert record.condition(ConditionType.SIGNALS_STALE).message.startswith(
        "exec: 0 of 1 collector answer in time"
    )


def test_one_replica_is_wanted() -> None:
    past = {"capacity": learned(1000), "lowered_us": NOW - 5 * S}
    _, record = decided(remembering(agent=past))
    assert record.stage("agent").sentence.startswith("agent stays at 2, although 1 is wanted: ")


def test_a_pipeline_of_one_stage_is_not_called_all() -> None:
    spec = PipelineSpec(stages=(StageSpec(name="agent", target="agent", max_replicas=2),))
    _, record = decide(spec, seen(), Memory(), NOW)
    assert record.sentence == "The one stage stays as it is: no SLA is violated."


def test_a_latency_without_a_queue_waits_for_pods_that_start() -> None:
    slow = a_stage("agent", ready=2, replicas=3, starting_ms=(500,), latencies=(TOO_SLOW,))
    _, record = decided(None, with_latency_on("agent"), agent=slow)
    assert record.stage("agent").after == 3
    assert record.stage("agent").proposals[0].why.endswith("waiting for pods that start")


def test_too_few_messages_are_no_load_to_come() -> None:
    memory = remembering(agent={"capacity": learned(1)})
    few: dict[str, Any] = {"gateway": a_stage("gateway", ready=1, rate=9), "agent": a_stage("agent", rate=9)}
    assert decided(memory, **few)[1].stage("agent").proposals == ()
