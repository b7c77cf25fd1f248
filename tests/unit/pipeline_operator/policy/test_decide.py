"""The rules of the scaling contract, one by one."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from sights import MS, START_US, S, a_minute, a_spec, a_stage, learned, remembering, seen

from pipeline_operator.memory import Capacity, Memory, Raise
from pipeline_operator.observation import LatencySignal, Refusal, SlaVerdict, StageObservation
from pipeline_operator.policy import decide
from pipeline_operator.record import ConditionType, Record
from pipeline_operator.spec import LatencySla, PipelineSpec, Slas, StageSpec

NOW = START_US
BUSY = a_stage("gateway", ready=1, rate=300)
LAST_RAISE = Raise(
    at_us=NOW - 30 * S,
    from_replicas=2,
    to_replicas=4,
    handled_milli=200_000,
    worst_per_mille=2000,
    ready_us=NOW - 20 * S,
)
CALM = a_stage("gateway", ready=1)
FULL = a_stage("gateway", ready=1, rate=500)


def record_of(
    memory: Memory | None = None, spec: PipelineSpec | None = None, **stages: StageObservation
) -> Record:
    """Under a load of 300/s, unless a gateway is given."""
    stages.setdefault("gateway", BUSY)
    return decide(spec or a_spec(), seen(**stages), memory or Memory(), NOW)[1]


def limiters(record: Record, stage: str) -> list[str]:
    return [effect.limiter for effect in record.stage(stage).effects]


def status(record: Record, kind: ConditionType) -> str:
    return record.condition(kind).status


def test_a_quiet_pipeline_stays_and_says_so() -> None:
    record = record_of()
    assert record.writes == ()
    assert record.sentence == "All 4 stages stay as they are: no SLA is violated."
    assert status(record, ConditionType.READY) == status(record, ConditionType.SCALING_ACTIVE) == "True"


def test_every_record_has_every_condition() -> None:
    assert {condition.type for condition in record_of().conditions} == set(ConditionType)


def test_a_lag_above_its_sla_raises_with_figures_in_the_sentence() -> None:
    record = record_of(agent=a_stage("agent", lag_ms=2400, rate=200))
    assert record.stage("agent").after > 2
    assert "lag 2,400 ms above 1,000 ms" in record.sentence
    assert record.writes[0].target == "agent"


def test_a_learned_capacity_gives_the_number_at_once() -> None:
    memory = remembering(agent={"capacity": learned(100)}, exec={"capacity": learned(100)})
    gateway = a_stage("gateway", ready=1, rate=1000)
    record = record_of(memory, gateway=gateway, agent=a_stage("agent", rate=200, lag_ms=1500, throttled=50))
    assert record.stage("agent").after >= 10
    # One solve: the next stage is raised for what the agents will send, before it has seen any of it.
    assert record.stage("exec").after >= 10
    assert [write.stage for write in record.writes] == ["agent", "exec"]


def test_the_load_raises_before_any_sla_is_violated() -> None:
    memory = remembering(agent={"capacity": learned(100)})
    record = record_of(
        memory, gateway=a_stage("gateway", ready=1, rate=400), agent=a_stage("agent", rate=200)
    )
    assert [proposal.name for proposal in record.stage("agent").proposals] == ["flow"]
    assert record.stage("agent").after in (4, 5)


def test_a_jump_on_a_guess_is_bounded() -> None:
    record = record_of(agent=a_stage("agent", lag_ms=100_000, rate=200))
    assert record.stage("agent").after == 8
    assert "Unlearned" in limiters(record, "agent")


def test_a_blocked_stage_proposes_nothing_and_names_its_bottleneck() -> None:
    record = record_of(
        agent=a_stage("agent", lag_ms=5000, rate=200, blocked_per_mille=600),
        exec=a_stage("exec", lag_ms=5000, rate=200, throttled=100),
    )
    assert record.stage("agent").proposals == ()
    assert record.stage("exec").after > 2
    assert "agent waits for credit of exec" in record.condition(ConditionType.BOTTLENECK_ELSEWHERE).message


def test_a_stage_that_is_done_with_all_that_holds_its_credit_waits_for_those_after_it() -> None:
    """Credit comes back when a message is through all stages: with little of it, it is the first stage that
    has none left, however fast it is."""
    exec_ = a_stage("exec", lag_ms=900, rate=200)
    idle = record_of(agent=a_stage("agent", lag_ms=5000, rate=200, throttled=150, depth=1), exec=exec_)
    assert idle.stage("agent").after == 2
    assert "agent waits for credit of exec" in idle.condition(ConditionType.BOTTLENECK_ELSEWHERE).message
    # A second in which nobody new had to wait: their sender still says that it is blocked.
    gateway = a_stage("gateway", ready=1, blocked_per_mille=900)
    stalled = record_of(gateway=gateway, agent=a_stage("agent", lag_ms=5000, depth=0), exec=exec_)
    assert stalled.stage("agent").after == 2
    # Single keys without credit block nobody's output: then it is the processor that has nothing to do.
    agent = a_stage("agent", lag_ms=5000, depth=0)
    dozing, working = (
        record_of(agent=replace(agent, signals=replace(agent.signals, cpu_per_mille=cpu)), exec=exec_)
        for cpu in (12, 900)
    )
    assert (dozing.stage("agent").after, working.stage("agent").after > 2) == (2, True)
    busy = record_of(agent=a_stage("agent", lag_ms=5000, rate=200, throttled=150, depth=30), exec=exec_)
    assert busy.stage("agent").after > 2


def test_a_starved_stage_is_not_lowered() -> None:
    memory = remembering(exec={"capacity": learned(100), "seconds": a_minute(1000, 20, NOW)})
    record = record_of(
        memory,
        agent=a_stage("agent", lag_ms=900, rate=50, throttled=20),
        exec=a_stage("exec", ready=8, rate=50),
    )
    assert record.stage("exec").after == 8
    assert "exec is kept short" in record.condition(ConditionType.BOTTLENECK_ELSEWHERE).message


def test_few_messages_raise_only_on_a_lag_that_lasts_and_by_one() -> None:
    few, slow = a_stage("agent", lag_ms=9000, rate=3), a_stage("gateway", ready=1, rate=4)
    assert record_of(gateway=slow, agent=few).stage("agent").after == 2
    lasting = remembering(agent={"seconds": a_minute(3000, 9000, NOW)})
    record = record_of(lasting, gateway=slow, agent=few)
    assert record.stage("agent").after == 3


def test_starting_pods_count_until_their_time_is_up() -> None:
    memory = remembering(agent={"capacity": learned(100), "starts_ms": (8000,) * 10})
    gateway = a_stage("gateway", ready=1, rate=380)
    ahead: dict[str, Any] = {"ready": 2, "replicas": 5, "rate": 200}
    waiting = record_of(memory, gateway=gateway, agent=a_stage("agent", starting_ms=(500,) * 3, **ahead))
    assert waiting.stage("agent").after == 5
    late = record_of(memory, gateway=gateway, agent=a_stage("agent", starting_ms=(60_000,) * 3, **ahead))
    assert late.stage("agent").counted == 2
    assert status(late, ConditionType.PODS_STUCK) == "True"
    assert late.stage("agent").after == 5, "more of what does not start helps nobody"
    assert "PodsStuck" in limiters(late, "agent")


def test_stuck_pods_are_made_up_for_where_others_start() -> None:
    memory = remembering(
        agent={"capacity": learned(100), "starts_ms": (8000,) * 10, "started_us": NOW - 10 * S}
    )
    stuck = a_stage("agent", ready=4, replicas=5, rate=400, starting_ms=(60_000,))
    record = record_of(memory, gateway=a_stage("gateway", ready=1, rate=800), agent=stuck)
    assert record.stage("agent").after > 8


def test_lowering_goes_to_where_the_lower_bound_suffices() -> None:
    memory = remembering(agent={"capacity": learned(100), "seconds": a_minute(100_000, 20, NOW)})
    record = record_of(memory, gateway=CALM, agent=a_stage("agent", ready=10))
    assert record.stage("agent").after == 2
    unsure = Capacity(samples=4, mean_milli=100_000, variance=60_000**2)
    record = record_of(
        remembering(agent={"capacity": unsure, "seconds": a_minute(100_000, 20, NOW)}),
        gateway=CALM,
        agent=a_stage("agent", ready=10),
    )
    assert record.stage("agent").after == 3


def test_nothing_is_lowered_within_a_busy_minute() -> None:
    busy = (*a_minute(100_000, 20, NOW)[:30], *a_minute(900_000, 20, NOW)[30:])
    memory = remembering(agent={"capacity": learned(100), "seconds": busy})
    assert record_of(memory, gateway=CALM, agent=a_stage("agent", ready=10)).stage("agent").after == 10


def test_nothing_is_lowered_while_any_stage_violates_an_sla() -> None:
    memory = remembering(agent={"capacity": learned(100)})
    record = record_of(
        memory, gateway=CALM, agent=a_stage("agent", ready=10), audit=a_stage("audit", ready=1, lag_ms=3000)
    )
    assert record.stage("agent").after == 10
    assert "SlaViolated" in limiters(record, "agent")


def test_nothing_is_lowered_soon_after_a_raise() -> None:
    memory = remembering(agent={"capacity": learned(100), "raised_us": NOW - 5 * S})
    assert "LowerHold" in limiters(record_of(memory, gateway=CALM, agent=a_stage("agent", ready=10)), "agent")


def test_a_stage_that_was_never_saturated_is_tried_with_one_less_and_only_one_stage_at_a_time() -> None:
    record = record_of(
        remembering(), gateway=CALM, agent=a_stage("agent", ready=6), exec=a_stage("exec", ready=6)
    )
    assert [record.stage(name).after for name in ("agent", "exec")] == [5, 6]
    assert record.stage("agent").proposals[0].name == "trial"


def test_stale_signals_raise_by_one_step_once_and_never_lower() -> None:
    partial = a_stage("agent", ready=4, lag_ms=9000, rate=400, answered=3)
    memory, record = decide(a_spec(), seen(gateway=FULL, agent=partial), Memory(), NOW)
    assert record.stage("agent").after == 5
    assert status(record, ConditionType.SIGNALS_STALE) == "True"
    again = decide(a_spec(), seen(gateway=FULL, agent=partial), memory, NOW + 250 * MS)[1]
    assert again.stage("agent").after == 4
    quiet = record_of(
        remembering(agent={"capacity": learned(100)}),
        gateway=CALM,
        agent=a_stage("agent", ready=10, age_ms=9000),
    )
    assert quiet.stage("agent").after == 10


def test_a_senders_silence_makes_the_lag_stale() -> None:
    memory = remembering(agent={"capacity": learned(100)})
    record = record_of(
        memory, gateway=a_stage("gateway", ready=1, answered=0), agent=a_stage("agent", ready=10)
    )
    assert record.stage("agent").after == 10


def test_without_any_signal_nothing_is_decided() -> None:
    silent: dict[str, Any] = {
        name: a_stage(name, answered=0, lag_ms=90_000) for name in ("gateway", "agent", "exec", "audit")
    }
    assert record_of(**silent).writes == ()


def test_an_ineffective_raise_stops_further_ones_and_is_said() -> None:
    memory = remembering(agent={"judged": LAST_RAISE})
    useless = a_stage("agent", ready=4, rate=201, lag_ms=6000)
    memory, _ = decide(a_spec(), seen(gateway=FULL, agent=useless), memory, NOW)
    record = decide(a_spec(), seen(gateway=FULL, agent=useless), memory, NOW + 250 * MS)[1]
    assert record.stage("agent").after == 4
    assert "Ineffective" in limiters(record, "agent")
    assert "from 2 to 4 replicas brought 1.0/s of 200/s expected" in record.sentence


def test_what_did_not_help_before_a_lowering_holds_up_no_raise_after_it() -> None:
    """Once it is lowered its SLAs were met, and the next rise is another one."""
    before = {"ineffective_us": NOW - 100 * S, "ineffective_why": "from 4 to 5 replicas brought nothing"}
    hot = seen(gateway=FULL, agent=a_stage("agent", ready=1, rate=100, lag_ms=6000))
    held = decide(a_spec(), hot, remembering(agent=before), NOW)[1]
    assert "Ineffective" in limiters(held, "agent")
    lowered = remembering(agent=before | {"lowered_us": NOW - 20 * S})
    again = decide(a_spec(), hot, lowered, NOW)[1]
    assert again.stage("agent").after > 1
    assert "Ineffective" not in limiters(again, "agent")


def test_an_effective_raise_may_be_followed_by_another() -> None:
    useful = a_stage("agent", ready=4, rate=390, lag_ms=6000)
    memory, _ = decide(
        a_spec(), seen(gateway=FULL, agent=useful), remembering(agent={"judged": LAST_RAISE}), NOW
    )
    assert (
        decide(a_spec(), seen(gateway=FULL, agent=useful), memory, NOW + 250 * MS)[1].stage("agent").after > 4
    )


def test_what_cannot_scale_is_at_capacity() -> None:
    record = record_of(audit=a_stage("audit", ready=1, lag_ms=4000, rate=500))
    assert record.stage("audit").after == 1
    assert "audit" in record.condition(ConditionType.AT_CAPACITY).message


def test_the_budget_is_shared_by_need() -> None:
    memory = remembering(agent={"capacity": learned(100)}, exec={"capacity": learned(100)})
    record = record_of(
        memory,
        a_spec(replica_budget=14),
        gateway=a_stage("gateway", ready=1, rate=1000),
        agent=a_stage("agent", rate=200, lag_ms=1500),
    )
    assert sum(result.after for result in record.stages) == 14
    assert {"Budget"} <= {*limiters(record, "agent"), *limiters(record, "exec")}
    assert status(record, ConditionType.AT_CAPACITY) == "True"


def test_throttling_for_lack_of_credit_is_a_reason() -> None:
    record = record_of(agent=a_stage("agent", rate=200, throttled=10))
    assert [proposal.name for proposal in record.stage("agent").proposals] == ["throttle"]
    assert record.stage("agent").after == 3 or record.stage("agent").wanted >= 2


def test_a_latency_above_its_sla_raises_although_nothing_waits() -> None:
    sla = LatencySla(event="AGENT_DECISION", percentile_basis_points=9500, limit_ms=30)
    spec = a_spec(
        stages=(
            StageSpec(name="gateway", target="gateway"),
            StageSpec(
                name="agent", target="agent", upstream=("gateway",), max_replicas=9, slas=Slas(latency=(sla,))
            ),
        )
    )
    signal = LatencySignal(event="AGENT_DECISION", percentile_basis_points=9500, limit_ms=30, window_ms=1000,
                           count=100, value_us=45_000, verdict=SlaVerdict.VIOLATED)  # fmt: skip
    record = record_of(None, spec, agent=a_stage("agent", latencies=(signal,)))
    assert record.stage("agent").after == 3
    assert "latency AGENT_DECISION p95 45.0 ms above 30 ms" in record.sentence


def test_a_foreign_change_is_respected_for_ten_minutes() -> None:
    hot: dict[str, Any] = {"lag_ms": 9000, "rate": 200}
    fresh = record_of(agent=a_stage("agent", foreign_us=NOW - 599 * S, **hot))
    assert fresh.stage("agent").after == 2
    assert "somebody else set agent to 2" in fresh.condition(ConditionType.CONTESTED).message
    later = record_of(agent=a_stage("agent", foreign_us=NOW - 601 * S, **hot))
    assert later.stage("agent").after > 2
    assert status(later, ConditionType.CONTESTED) == "False"


def test_a_foreign_change_is_remembered_over_a_restart() -> None:
    memory, _ = decide(a_spec(), seen(agent=a_stage("agent", foreign_us=NOW - S)), Memory(), NOW)
    hot = seen(gateway=BUSY, agent=a_stage("agent", lag_ms=9000, rate=200))
    assert decide(a_spec(), hot, memory, NOW + 300 * S)[1].stage("agent").after == 2


def test_recommend_decides_and_writes_nothing() -> None:
    record = record_of(None, a_spec(mode="recommend"), agent=a_stage("agent", lag_ms=2400, rate=200))
    assert record.stage("agent").after > 2
    assert record.writes == ()
    assert record.sentence.startswith("Would change: agent 2 →")
    assert record.condition(ConditionType.SCALING_ACTIVE).reason == "RecommendOnly"


def test_paused_decides_nothing() -> None:
    record = record_of(None, a_spec(mode="paused"), agent=a_stage("agent", lag_ms=2400, rate=200))
    assert record.stage("agent").after == 2
    assert "Paused" in limiters(record, "agent")


def test_a_stage_without_its_target_is_left_alone_and_not_ready() -> None:
    record = record_of(agent=a_stage("agent", lag_ms=2400, rate=200, fault="there is no StatefulSet agent"))
    assert record.stage("agent").after == 2
    assert status(record, ConditionType.READY) == status(record, ConditionType.SCALING_ACTIVE) == "False"


def test_replicas_outside_their_bounds_are_brought_back() -> None:
    spec = a_spec()
    few = a_stage("agent", ready=0, replicas=0, rate=0)
    assert decide(spec, seen(agent=few), Memory(), NOW)[1].stage("agent").after == 1


def test_another_revision_has_another_capacity() -> None:
    capacity = learned(100)
    memory = remembering(agent={"capacity": capacity})
    record = record_of(memory, agent=a_stage("agent", revision="new"))
    assert record.stage("agent").capacity_milli is None


def test_capacity_is_learned_from_saturated_seconds_only() -> None:
    spec, memory = a_spec(), Memory()
    for tick in range(40):
        quiet = seen(agent=a_stage("agent", rate=100))
        memory, record = decide(spec, quiet, memory, NOW + tick * 250 * MS)
    assert record.stage("agent").capacity_milli is None
    for tick in range(40, 80):
        busy = seen(agent=a_stage("agent", rate=150, lag_ms=600))
        memory, record = decide(spec, busy, memory, NOW + tick * 250 * MS)
    assert record.stage("agent").capacity_milli == 75_000


def test_a_blocked_second_teaches_nothing() -> None:
    spec, memory = a_spec(), Memory()
    for tick in range(40):
        blocked = seen(agent=a_stage("agent", rate=150, lag_ms=600, blocked_per_mille=500))
        memory, record = decide(spec, blocked, memory, NOW + tick * 250 * MS)
    assert record.stage("agent").capacity_milli is None


def test_slow_work_is_learned_over_five_seconds() -> None:
    spec, memory = a_spec(), Memory()
    for tick in range(4 * 25):
        slow = seen(gateway=a_stage("gateway", ready=1, rate=40), agent=a_stage("agent", rate=8, lag_ms=900))
        memory, record = decide(spec, slow, memory, NOW + tick * 250 * MS)
    assert record.stage("agent").capacity_milli == 4_000


def test_a_violation_that_does_not_get_better_asks_for_one_more() -> None:
    """What runs should suffice for the load; keys may be spread unevenly."""
    memory = remembering(agent={"capacity": learned(100), "violated_since_us": NOW - 10 * S})
    record = record_of(memory, gateway=CALM, agent=a_stage("agent", throttled=5))
    assert record.stage("agent").after == 3
    assert "no better for 10 s" in record.sentence
    fresh = remembering(agent={"capacity": learned(100), "violated_since_us": NOW - 9 * S})
    assert record_of(fresh, gateway=CALM, agent=a_stage("agent", throttled=5)).stage("agent").after == 2


def refused(waits: bool) -> StageObservation:
    refusal = Refusal(reason="ScaleForbidden", message="the API server refuses agent: no right", waits=waits)
    return a_stage("agent", lag_ms=2400, rate=200, refused=refusal)


def test_what_is_refused_waits_and_stages_after_it_do_not_count_on_it() -> None:
    memory = remembering(agent={"capacity": learned(100)}, exec={"capacity": learned(100)})
    many = a_stage("gateway", ready=1, rate=1000)
    waits = record_of(memory, gateway=many, agent=refused(waits=True))
    assert (waits.stage("agent").after, waits.stage("exec").after, waits.writes) == (2, 2, ())
    assert "held to 2: the API server refuses agent: no right (WriteRefused)" in waits.sentence
    again = record_of(memory, gateway=many, agent=refused(waits=False))
    assert [write.stage for write in again.writes] == ["agent", "exec"]
    for record in (waits, again):
        told = record.condition(ConditionType.SCALING_ACTIVE)
        assert (told.status, told.reason) == ("False", "ScaleForbidden")
        assert told.message == "agent: the API server refuses agent: no right"


def test_what_is_refused_is_still_recommended() -> None:
    record = record_of(None, a_spec(mode="recommend"), agent=refused(waits=True))
    assert record.stage("agent").after > 2
    assert record.condition(ConditionType.SCALING_ACTIVE).reason == "RecommendOnly"
