"""Each rule of the policy by itself: one thing is changed, and what follows from it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from sights import START_US, S, a_minute, a_spec, a_stage, learned, remembering, seen

from pipeline_operator.memory import Capacity, Memory, Raise, Second, StageMemory
from pipeline_operator.observation import StageObservation
from pipeline_operator.policy import decide
from pipeline_operator.policy.budget import Claim, share
from pipeline_operator.policy.slas import throttled_per_mille
from pipeline_operator.policy.starts import counted
from pipeline_operator.record import ConditionType, Record
from pipeline_operator.spec import PipelineSpec, Tuning

NOW = START_US
NOW_S = NOW // S
FULL = a_stage("gateway", ready=1, rate=1000)
LAST_RAISE = Raise(at_us=NOW - 30 * S, from_replicas=2, to_replicas=4, handled_milli=200_000,
                   worst_per_mille=2000, ready_us=NOW - 20 * S)  # fmt: skip
USELESS: dict[str, Any] = {"ready": 4, "rate": 201, "lag_ms": 6000}
KNOWN = {"capacity": learned(100)}


def decided(
    memory: Memory | None = None, spec: PipelineSpec | None = None, **stages: StageObservation
) -> tuple[StageMemory, Record]:
    """What is remembered of the agent, and the record."""
    after, record = decide(spec or a_spec(), seen(**stages), memory or Memory(), NOW)
    return next(one for one in after.stages if one.stage == "agent"), record


def limiters(record: Record, stage: str = "agent") -> list[str]:
    return [effect.limiter for effect in record.stage(stage).effects]


def with_window(stage: StageObservation, window_ms: int, **figures: int) -> StageObservation:
    windows = tuple(
        replace(one, **figures) if one.window_ms == window_ms else one for one in stage.signals.windows
    )
    return replace(stage, signals=replace(stage.signals, windows=windows))


# ---- limiters


def test_few_messages_hold_up_no_lowering() -> None:
    slow = a_stage("gateway", ready=1, rate=4)
    _, record = decided(remembering(agent=KNOWN), gateway=slow, agent=a_stage("agent", ready=10, rate=3))
    assert record.stage("agent").after < 10


def test_few_messages_raise_nothing_while_a_pod_starts() -> None:
    slow = a_stage("gateway", ready=1, rate=4)
    few = a_stage("agent", ready=2, replicas=3, starting_ms=(500,), lag_ms=9000, rate=3)
    memory = remembering(agent={"capacity": learned(1), "seconds": a_minute(3000, 9000, NOW)})
    _, record = decided(memory, gateway=slow, agent=few)
    assert record.stage("agent").after == 3
    assert limiters(record) == ["LowCount"]


def test_no_further_guess_while_pods_of_the_last_one_start() -> None:
    guess = a_stage("agent", ready=2, replicas=3, starting_ms=(500,), lag_ms=100_000, rate=200)
    _, record = decided(gateway=FULL, agent=guess)
    assert record.stage("agent").after == 3
    assert limiters(record) == ["Unlearned"]


def test_a_little_more_waits_for_pods_that_start_by_share() -> None:
    some = a_stage("agent", ready=2, replicas=3, starting_ms=(500,), rate=200)
    busy = a_stage("gateway", ready=1, rate=450)
    for share_per_mille, after in ((1000, 3), (150, 5)):
        spec = a_spec(tuning=Tuning(settling_per_mille=share_per_mille))
        _, record = decided(remembering(agent=KNOWN), spec, gateway=busy, agent=some)
        assert record.stage("agent").after == after


def test_a_raise_that_is_not_there_yet_is_not_called_useless() -> None:
    not_yet = {**KNOWN, "judged": replace(LAST_RAISE, ready_us=None)}
    agent = a_stage("agent", ready=2, replicas=4, starting_ms=(500,) * 2, rate=201, lag_ms=6000)
    _, record = decided(remembering(agent=not_yet), gateway=FULL, agent=agent)
    assert "Ineffective" not in limiters(record)


def test_a_load_to_come_is_met_although_the_last_raise_is_still_being_judged() -> None:
    early = {**KNOWN, "judged": replace(LAST_RAISE, ready_us=NOW - S)}
    _, record = decided(remembering(agent=early), gateway=FULL, agent=a_stage("agent", ready=4, rate=201))
    assert record.stage("agent").after > 4
    _, held = decided(remembering(agent=early), gateway=FULL, agent=a_stage("agent", **USELESS))
    assert "Ineffective" in limiters(held)


@pytest.mark.parametrize(("ago_s", "held"), [(299, True), (301, False)])
def test_an_ineffective_raise_stops_others_for_five_minutes(ago_s: int, held: bool) -> None:
    past = {**KNOWN, "ineffective_us": NOW - ago_s * S, "ineffective_why": "it brought nothing"}
    _, record = decided(remembering(agent=past), gateway=FULL, agent=a_stage("agent", rate=200, lag_ms=6000))
    assert ("Ineffective" in limiters(record)) == held


@pytest.mark.parametrize(("started_ago_s", "held"), [(100, True), (10, False)])
def test_stuck_pods_are_made_up_for_only_if_others_started_since(started_ago_s: int, held: bool) -> None:
    past = {**KNOWN, "starts_ms": (8000,) * 10, "started_us": NOW - started_ago_s * S}
    stuck = a_stage("agent", ready=4, replicas=5, rate=400, starting_ms=(60_000,))
    _, record = decided(remembering(agent=past), gateway=FULL, agent=stuck)
    assert ("PodsStuck" in limiters(record)) == held


def test_nothing_is_lowered_soon_after_a_lowering() -> None:
    past = {**KNOWN, "lowered_us": NOW - 5 * S}
    _, record = decided(remembering(agent=past), agent=a_stage("agent", ready=10))
    assert limiters(record) == ["LowerHold"]


def test_a_budget_takes_nothing_from_a_stage_whose_signals_are_stale() -> None:
    sound, stale = a_stage("agent", ready=6), a_stage("exec", ready=6, answered=5)
    _, record = decided(None, a_spec(replica_budget=9), agent=sound, exec=stale)
    assert record.stage("agent").after < 6
    assert record.stage("exec").after == 6


def test_a_fixed_claim_is_kept_whole() -> None:
    assert share({"a": Claim(2, 5, fixed=True), "b": Claim(1, 9)}, 8) == {"a": 5, "b": 3}


# ---- the load


def test_what_a_root_sheds_is_load() -> None:
    gateway = with_window(a_stage("gateway", ready=1, rate=500), 1000, shed=500)
    _, record = decided(gateway=gateway)
    assert record.stage("gateway").demand_milli == 1_000_000


def test_a_stage_that_drains_its_backlog_shows_more_than_the_load() -> None:
    gateway = a_stage("gateway", ready=1, rate=300)
    _, record = decided(gateway=gateway, agent=a_stage("agent", rate=500, lag_ms=600))
    assert record.stage("agent").demand_milli == 300_000
    _, quick = decided(gateway=gateway, agent=a_stage("agent", rate=500))
    assert quick.stage("agent").demand_milli == 500_000


def test_where_no_sender_tells_it_a_load_is_told_by_how_fast_the_lag_grows() -> None:
    past = {"seconds": (Second(NOW_S - 2, 0, 500),)}
    mute, growing = a_stage("gateway", ready=1, rate=0), a_stage("agent", rate=200, lag_ms=1500)
    _, record = decided(remembering(agent=past), gateway=mute, agent=growing)
    assert record.stage("agent").demand_milli == 400_000


def test_a_backlog_is_load_for_the_stages_after_it() -> None:
    memory = remembering(agent=KNOWN, exec=KNOWN)
    _, record = decided(memory, gateway=FULL, agent=a_stage("agent", rate=200, lag_ms=3000))
    _, without = decided(memory, gateway=FULL, agent=a_stage("agent", rate=200))
    [flow] = record.stage("exec").proposals
    assert "of backlog from upstream" in flow.why
    assert flow.replicas > without.stage("exec").proposals[0].replicas


def test_what_lacks_until_new_pods_are_there_is_backlog_too() -> None:
    later = {**KNOWN, "starts_ms": (9000,) * 10}
    soon = {**KNOWN, "starts_ms": (100,) * 10}
    found = [
        decided(remembering(agent=past), gateway=FULL, agent=a_stage("agent", rate=200, lag_ms=1500))[1]
        for past in (later, soon)
    ]
    assert found[0].stage("agent").wanted > found[1].stage("agent").wanted


def test_ready_pods_whose_collectors_nobody_expects_are_not_fresh() -> None:
    agent = a_stage("agent")
    silent = replace(
        agent, signals=replace(agent.signals, sources=replace(agent.signals.sources, expected=0, answered=0))
    )
    _, record = decided(agent=silent)
    assert record.condition(ConditionType.SIGNALS_STALE).status == "True"


def test_a_stage_that_sheds_does_not_wait_for_others() -> None:
    idle = a_stage("agent", lag_ms=5000, rate=200, throttled=150, depth=1)
    _, record = decided(gateway=FULL, agent=with_window(idle, 1000, shed=5))
    assert record.stage("agent").after > 2


def test_throttling_is_a_share_of_all_that_came_also_when_little_was_handled() -> None:
    agent = with_window(a_stage("agent", rate=10), 1000, flow_throttled=40)
    assert throttled_per_mille(a_spec().stage("agent"), agent.signals, 1000) == (1000, 40)


# ---- starts


def test_a_pod_is_stuck_only_beyond_its_time() -> None:
    past = StageMemory(stage="agent", starts_ms=(8000,) * 5)
    for age_ms, expected in ((8000, (3, 1, 0)), (8001, (2, 0, 1))):
        one = a_stage("agent", ready=2, replicas=3, starting_ms=(age_ms,))
        assert counted(one, past, Tuning(), NOW) == expected


def test_a_start_that_is_told_just_now_counts() -> None:
    past = StageMemory(stage="agent", starts_ms=(8000, 8000))
    one = a_stage("agent", ready=2, replicas=3, starting_ms=(20_000,), started_ms=(8000,))
    assert counted(one, past, Tuning(), NOW).stuck == 1


def test_replicas_without_a_pod_and_without_a_raise_of_ours_have_just_been_asked_for() -> None:
    assert counted(a_stage("agent", ready=2, replicas=5), StageMemory(stage="agent"), Tuning(), NOW) == (
        5,
        3,
        0,
    )


# ---- the last raise


def test_stale_signals_judge_no_raise() -> None:
    agent = a_stage("agent", **USELESS, answered=3)
    past, _ = decided(remembering(agent={"judged": LAST_RAISE}), gateway=FULL, agent=agent)
    assert (past.judged, past.ineffective_us) == (LAST_RAISE, 0)


def test_a_raise_that_was_taken_back_is_none() -> None:
    waiting = {"judged": replace(LAST_RAISE, ready_us=None)}
    past, _ = decided(remembering(agent=waiting), agent=a_stage("agent", ready=3))
    assert past.judged is None
    past, _ = decided(
        remembering(agent=waiting), agent=a_stage("agent", ready=3, replicas=4, starting_ms=(9,))
    )
    assert past.judged is not None


def test_a_raise_is_judged_when_its_time_has_come() -> None:
    early = {"judged": replace(LAST_RAISE, ready_us=NOW - 5 * S)}
    past, _ = decided(remembering(agent=early), gateway=FULL, agent=a_stage("agent", **USELESS))
    assert past.ineffective_us == 0
    assert past.judged is not None


def test_a_further_raise_does_not_begin_the_judgement_anew() -> None:
    waiting = {**KNOWN, "judged": replace(LAST_RAISE, ready_us=None, from_replicas=1)}
    agent = a_stage("agent", ready=2, replicas=4, starting_ms=(500,) * 2, rate=200, lag_ms=6000)
    past, record = decided(remembering(agent=waiting), gateway=FULL, agent=agent)
    assert record.stage("agent").after > 4
    assert past.judged is not None
    assert past.judged.from_replicas == 1


def test_a_raise_has_gained_by_what_its_slas_are_violated_by_less() -> None:
    better = a_stage("agent", ready=4, rate=201, lag_ms=1100)
    past, _ = decided(remembering(agent={"judged": LAST_RAISE}), gateway=FULL, agent=better)
    assert past.ineffective_us == 0


def test_one_slow_second_does_not_make_a_raise_useless() -> None:
    agent = with_window(a_stage("agent", ready=4, rate=390, lag_ms=6000), 1000, handled=100)
    past, _ = decided(remembering(agent={"judged": LAST_RAISE}), gateway=FULL, agent=agent)
    assert past.ineffective_us == 0


# ---- what is remembered


def test_signals_that_are_back_allow_another_stale_raise() -> None:
    past, _ = decided(remembering(agent={"stale_raise_us": NOW - S}))
    assert past.stale_raise_us == 0


def test_a_second_without_signals_is_a_gap_in_the_minute() -> None:
    memory = remembering(NOW - S)
    past, _ = decided(memory, agent=a_stage("agent", answered=1))
    assert past.seconds[-1].at_s == NOW_S - 1


def test_a_violation_lasts_since_it_began() -> None:
    hot = a_stage("agent", lag_ms=5000)
    past, _ = decided(remembering(agent={"violated_since_us": NOW - 7 * S}), agent=hot)
    assert past.violated_since_us == NOW - 7 * S
    past, _ = decided(remembering(), agent=hot)
    assert past.violated_since_us == NOW


BUSY = a_stage("agent", rate=150, lag_ms=600)
SATURATED: dict[str, Any] = {"waiting_since_us": NOW - 9 * S, "ready": 2, "ready_since_us": NOW - 9 * S}


@pytest.mark.parametrize(
    ("changes", "agent", "samples"),
    [
        ({}, BUSY, 1),
        ({"waiting_since_us": NOW - S}, BUSY, 0),  # not for all of the second
        ({"ready_since_us": NOW - S}, BUSY, 0),  # with as many replicas
        ({"capacity": Capacity(sampled_us=NOW - S // 2)}, BUSY, 0),  # sampled half a second ago
        ({}, a_stage("agent", rate=150, lag_ms=600, answered=1), 0),  # not all told
        ({}, replace(BUSY, ready=0), 0),
    ],
)
def test_a_sample_of_capacity_wants_a_whole_saturated_second(
    changes: dict[str, Any], agent: StageObservation, samples: int
) -> None:
    past, _ = decided(remembering(agent=SATURATED | changes), agent=agent)
    assert past.capacity.samples == samples


def test_another_revision_begins_to_learn_anew() -> None:
    old = replace(learned(100), revision="old")
    past, _ = decided(remembering(agent=SATURATED | {"capacity": old}), agent=replace(BUSY, revision="new"))
    assert (past.capacity.revision, past.capacity.samples, past.capacity.mean_milli) == ("new", 1, 75_000)


@pytest.mark.parametrize(("since_s", "shown_milli"), [(5, 0), (6, 50_000)])
def test_what_replicas_have_shown_is_of_five_seconds_with_as_many(since_s: int, shown_milli: int) -> None:
    past, _ = decided(remembering(agent={"ready_since_us": NOW - since_s * S}))
    assert past.capacity.shown_milli == shown_milli


@pytest.mark.parametrize(
    ("changes", "agent", "gateway_rate", "ratio"),
    [
        ({}, a_stage("agent", rate=50), 100, 500),
        ({"violated_us": NOW - 59 * S}, a_stage("agent", rate=50), 100, 1000),
        ({}, a_stage("agent", rate=50, lag_ms=900), 100, 1000),  # what waits would be missing
        ({}, a_stage("agent", rate=50, answered=1), 100, 1000),
        ({}, a_stage("agent", rate=4), 9, 1000),  # 540 in a minute are too few
        ({}, a_stage("agent", rate=5), 10, 500),
    ],
)
def test_the_ratio_between_two_stages_is_of_a_quiet_minute(
    changes: dict[str, Any], agent: StageObservation, gateway_rate: int, ratio: int
) -> None:
    gateway = a_stage("gateway", ready=1, rate=gateway_rate)
    past, _ = decided(remembering(agent=changes), gateway=gateway, agent=agent)
    assert past.ratio_per_mille == ratio


# ---- lowering


def test_a_stage_whose_input_waits_or_waited_is_not_lowered() -> None:
    _, waits = decided(remembering(agent=KNOWN), agent=a_stage("agent", ready=10, lag_ms=400))
    assert waits.stage("agent").proposals == ()
    late = (*a_minute(100_000, 20, NOW)[:-30], *a_minute(100_000, 1500, NOW)[-30:])
    _, waited = decided(remembering(agent=KNOWN | {"seconds": late}), agent=a_stage("agent", ready=10))
    assert waited.stage("agent").proposals == ()


def test_what_was_shown_suffices_to_lower_where_nothing_was_learned() -> None:
    past = {"capacity": Capacity(shown_milli=100_000)}
    _, record = decided(remembering(agent=past), agent=a_stage("agent", ready=6))
    assert [(one.name, one.replicas) for one in record.stage("agent").proposals] == [("lower", 2)]


@pytest.mark.parametrize(
    ("changes", "lag_ms", "cpu", "tried"),
    [
        ({}, 20, None, True),
        ({}, 20, 700, True),
        ({}, 20, 750, False),  # of 6 at 75 % each, 5 would be at 90 %
        ({"seconds": a_minute(100_000, 600, NOW)}, 20, None, False),  # above half its limit
        ({"raised_us": NOW - 119 * S}, 20, None, False),
        ({"lowered_us": NOW - 119 * S}, 20, None, False),
        ({"raised_us": NOW - 121 * S, "lowered_us": NOW - 121 * S}, 20, None, True),
    ],
)
def test_one_less_is_tried_where_all_is_well_by_far(
    changes: dict[str, Any], lag_ms: int, cpu: int | None, tried: bool
) -> None:
    agent = a_stage("agent", ready=6, lag_ms=lag_ms)
    agent = replace(agent, signals=replace(agent.signals, cpu_per_mille=cpu))
    _, record = decided(remembering(agent=changes), agent=agent)
    assert (record.stage("agent").after == 5) == tried


# ---- proposals


@pytest.mark.parametrize(
    ("lag_ms", "before_ms", "raised"), [(600, 400, True), (600, 590, False), (450, 0, False)]
)
def test_a_lag_that_will_exceed_its_limit_before_a_pod_is_there_raises(
    lag_ms: int, before_ms: int, raised: bool
) -> None:
    past = {"seconds": (Second(NOW_S - 2, 0, before_ms),), "starts_ms": (5000,) * 10}
    agent = a_stage("agent", rate=200, lag_ms=lag_ms)
    _, record = decided(remembering(agent=past), gateway=a_stage("gateway", ready=1, rate=300), agent=agent)
    assert bool(record.stage("agent").proposals) == raised


@pytest.mark.parametrize(
    ("lags_ms", "starting", "more"),
    [((5000,) * 10, 0, True), ((7000,) * 10, 0, False), ((5000,) * 10, 1, False)],
)
def test_a_lag_that_does_not_fall_for_ten_seconds_asks_for_one_more(
    lags_ms: tuple[int, ...], starting: int, more: bool
) -> None:
    """What runs should suffice: keys may be spread unevenly."""
    seconds = tuple(Second(NOW_S - 9 + at, 100_000, lag_ms) for at, lag_ms in enumerate(lags_ms))
    agent = a_stage(
        "agent", ready=9, replicas=9 + starting, starting_ms=(500,) * starting, rate=100, lag_ms=6000
    )
    _, record = decided(remembering(agent=KNOWN | {"seconds": seconds}), agent=agent)
    [lag] = record.stage("agent").proposals
    assert ("no better for 10 s" in lag.why) == more
    assert (record.stage("agent").after > 9 + starting) == more


def test_nothing_more_is_asked_for_blindly_while_a_pod_starts() -> None:
    for starting, after in ((0, 3), (1, 3)):
        agent = a_stage(
            "agent", ready=3 - 1, replicas=2 + starting, starting_ms=(500,) * starting, rate=0, lag_ms=6000
        )
        _, record = decided(gateway=FULL, agent=agent)
        assert record.stage("agent").after == after
        assert ("the next one is starting" in record.stage("agent").proposals[0].why) == bool(starting)


def test_too_few_messages_show_no_capacity_at_hand() -> None:
    few = a_stage("agent", rate=3, lag_ms=9000)
    lasting = remembering(agent={"seconds": a_minute(3000, 9500, NOW)})
    _, record = decided(lasting, gateway=a_stage("gateway", ready=1, rate=4), agent=few)
    assert record.stage("agent").proposals[0].why.endswith("one more")
