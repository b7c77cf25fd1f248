"""The parts of the policy that are laws by themselves."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sights import START_US, S, a_minute, a_spec, a_stage

from pipeline_operator.memory import Capacity, StageMemory, decode_memory
from pipeline_operator.observation import SlaVerdict
from pipeline_operator.policy.budget import Claim, share
from pipeline_operator.policy.capacity import believed_milli, low_milli, sample, shown
from pipeline_operator.policy.slas import minute_states, now_states, percentile_text
from pipeline_operator.policy.starts import counted, start_limit_ms, typical_ms
from pipeline_operator.spec import Tuning

TUNING = Tuning()


def test_capacity_is_the_mean_of_its_samples_with_a_lower_bound_below() -> None:
    dice = random.Random(1)
    capacity = Capacity()
    for _ in range(200):
        capacity = sample(capacity, round(dice.gauss(100_000, 5_000)), START_US)
    assert believed_milli(capacity, TUNING) == pytest.approx(100_000, rel=0.03)
    low = low_milli(capacity, TUNING)
    assert low is not None
    assert 94_000 < low < capacity.mean_milli


def test_few_samples_are_not_believed() -> None:
    capacity = sample(sample(Capacity(), 100_000, START_US), 100_000, START_US)
    assert believed_milli(capacity, TUNING) is None
    assert low_milli(capacity, TUNING) is None
    assert believed_milli(sample(capacity, 100_000, START_US), TUNING) == 100_000


def test_a_capacity_follows_a_change_within_a_minute() -> None:
    capacity = Capacity()
    for rate in [100_000] * 100 + [50_000] * 60:
        capacity = sample(capacity, rate, START_US)
    assert capacity.mean_milli < 60_000


def test_what_a_replica_has_shown_raises_what_is_believed() -> None:
    capacity = Capacity(samples=10, mean_milli=80_000)
    assert shown(capacity, 90_000).mean_milli == 90_000
    assert shown(capacity, 70_000).mean_milli == 80_000
    assert shown(Capacity(), 70_000).shown_milli == 70_000


def test_a_start_limit_is_believed_from_three_starts_on_and_never_below_the_longest() -> None:
    assert start_limit_ms((8000, 8000), TUNING) == typical_ms((8000, 8000), TUNING) == TUNING.start_ms
    assert start_limit_ms((8000,) * 5, TUNING) == typical_ms((8000,) * 5, TUNING) == 8000
    assert start_limit_ms((8000, 9000, 30_000), TUNING) >= 30_000


def test_replicas_without_a_pod_are_as_old_as_the_raise() -> None:
    seen = a_stage("agent", ready=2, replicas=5)
    fresh = StageMemory(stage="agent", raised_us=START_US - 5 * S, starts_ms=(8000,) * 5)
    assert counted(seen, fresh, TUNING, START_US) == (5, 3, 0)
    old = StageMemory(stage="agent", raised_us=START_US - 50 * S, starts_ms=(8000,) * 5)
    assert counted(seen, old, TUNING, START_US) == (2, 0, 3)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1),
    st.integers(0, 150),
)
def test_a_budget_is_kept_and_nobody_gets_more_than_wanted(
    raw: dict[str, tuple[int, int]], budget: int
) -> None:
    claims = {name: Claim(floor=min(pair), wanted=max(pair)) for name, pair in raw.items()}
    shared = share(claims, budget)
    floors = sum(claim.floor for claim in claims.values())
    wishes = sum(claim.wanted for claim in claims.values())
    assert sum(shared.values()) == min(wishes, max(budget, floors))
    assert all(claims[name].floor <= got <= claims[name].wanted for name, got in shared.items())


def test_a_budget_is_shared_in_proportion_to_what_is_lacking() -> None:
    claims = {"a": Claim(2, 22), "b": Claim(2, 12)}
    assert share(claims, 19) == {"a": 12, "b": 7}
    assert share(claims, None) == {"a": 22, "b": 12}


def test_what_does_not_divide_goes_to_the_largest_remainders_then_by_name() -> None:
    lacking = {"a": Claim(0, 9), "b": Claim(0, 2), "c": Claim(0, 3)}
    # Of 10 for 14: 90/14 = 6 rest 6, 20/14 = 1 rest 6, 30/14 = 2 rest 2. One is left.
    assert share(lacking, 10) == {"a": 7, "b": 1, "c": 2}
    # Of 4 for 14: 36/14 = 2 rest 8, 8/14 = 0 rest 8, 12/14 = 0 rest 12. Two are left.
    assert share(lacking, 4) == {"a": 3, "b": 0, "c": 1}


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 30), min_size=2), st.integers(0, 150))
def test_nobody_with_a_smaller_remainder_gets_what_a_larger_one_lacks(
    needs: dict[str, int], budget: int
) -> None:
    total = sum(needs.values())
    budget = min(budget, total)
    shared = share({name: Claim(0, need) for name, need in needs.items()}, budget)
    more = {name for name, need in needs.items() if shared[name] > need * budget // total}
    assert all(shared[name] - need * budget // total in (0, 1) for name, need in needs.items())
    for name in more:
        for other in needs.keys() - more:
            assert needs[name] * budget % total >= needs[other] * budget % total


@pytest.mark.parametrize(
    ("points", "text"), [(9900, "p99"), (9990, "p99.9"), (9999, "p99.99"), (5000, "p50")]
)
def test_a_percentile_is_named_as_people_do(points: int, text: str) -> None:
    assert percentile_text(points) == text


def test_throttling_is_judged_only_on_enough_messages() -> None:
    spec = a_spec().stage("agent")
    few = a_stage("agent", rate=10, throttled=5).signals
    many = a_stage("agent", rate=100, throttled=5).signals
    assert now_states(spec, few, 20)[1].verdict is SlaVerdict.UNKNOWN
    assert now_states(spec, many, 20)[1].verdict is SlaVerdict.VIOLATED
    assert now_states(spec, many, 20)[1].value == 50


def test_a_minute_is_judged_by_its_worst_lag() -> None:
    spec, signals = a_spec().stage("agent"), a_stage("agent").signals
    seconds = (*a_minute(1000, 5000, START_US)[:1], *a_minute(1000, 20, START_US)[1:])
    assert minute_states(spec, signals, seconds, 20)[0].verdict is SlaVerdict.VIOLATED


@pytest.mark.parametrize("data", [b"", b"{}x", b'{"schema": 99}', b"\xff", b"[]", b"eJw=", b"AAAA"])
def test_a_memory_that_is_none_of_ours_is_begun_anew(data: bytes) -> None:
    assert decode_memory(data).stages == ()
