"""The statistical rule, against enumeration, and against what it promises of noise."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.performance.rule import ALPHA, MIN_ROUNDS, bound_place, compare

COSTS = st.lists(st.floats(0.01, 100), min_size=MIN_ROUNDS, max_size=12)


def enumerated_place(m: int, n: int, alpha: float) -> int:
    """The definition: count Mann-Whitney's U over every order of m and n ranks."""
    counts = Counter(
        sum(rank - place for place, rank in enumerate(chosen))
        for chosen in itertools.combinations(range(m + n), m)
    )
    total, place = 0, 0
    while (total + counts[place]) / math.comb(m + n, m) <= alpha:
        total += counts[place]
        place += 1
    return place


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05, 0.2])
@pytest.mark.parametrize(("m", "n"), [(3, 3), (4, 7), (7, 4), (7, 7)])
def test_the_bound_s_place_is_that_of_the_enumeration(m: int, n: int, alpha: float) -> None:
    assert bound_place(m, n, alpha) == enumerated_place(m, n, alpha)


def test_a_published_critical_value_is_met() -> None:
    """One-sided 0.025 for 10 and 10: U ≤ 23 (Mann-Whitney tables), so the 24th difference."""
    assert bound_place(10, 10, 0.025) == 24


def test_the_least_rounds_are_the_least_that_give_a_bound() -> None:
    assert bound_place(MIN_ROUNDS, MIN_ROUNDS, ALPHA) >= 1
    assert bound_place(MIN_ROUNDS - 1, MIN_ROUNDS - 1, ALPHA) == 0


@given(a=COSTS, b=COSTS, factor=st.floats(0.1, 10))
def test_making_b_slower_moves_everything_by_that_factor(
    a: list[float], b: list[float], factor: float
) -> None:
    before, after = compare(a, b), compare(a, [factor * cost for cost in b])
    for name in ("ratio", "lower", "upper"):
        assert getattr(after, name) == pytest.approx(factor * getattr(before, name))
    assert before.lower <= before.ratio <= before.upper


@given(a=COSTS)
def test_nothing_is_worse_than_itself(a: list[float]) -> None:
    assert not compare(a, a).worse
    assert not compare(a, a).better


def test_clear_cases_are_called() -> None:
    a = [1 + number / 1000 for number in range(10)]
    assert compare(a, [1.3 * cost for cost in a]).worse
    assert not compare(a, [1.15 * cost for cost in a]).worse
    assert compare(a, [0.7 * cost for cost in a]).better


def test_one_wild_round_decides_nothing() -> None:
    a = [1 + number / 1000 for number in range(20)]
    assert not compare(a, [*a[1:], 1000]).worse


def test_a_regression_of_just_the_margin_is_called_as_rarely_as_promised() -> None:
    """At a true ratio of 1.2 an alarm has a chance of at most ALPHA, whatever the noise; here a heavy one."""
    drawn = random.Random(1337)

    def sample(shift: float) -> list[float]:
        return [shift * math.exp(drawn.gauss(0, 0.1) + (drawn.random() < 0.1)) for _ in range(15)]

    alarms = sum(compare(sample(1), sample(1.2)).worse for _ in range(2000))
    assert alarms <= 8  # 2 expected; more than 8 has a chance of 0.0002


@pytest.mark.parametrize("cost", [math.nan, math.inf, 0.0, -1.0])
def test_what_is_no_cost_is_refused(cost: float) -> None:
    good = [1.0] * MIN_ROUNDS
    with pytest.raises(UsageError, match="B has a round that costs"):
        compare(good, [*good, cost])


def test_too_few_rounds_prove_nothing_and_are_refused() -> None:
    with pytest.raises(UsageError, match="A has 0 rounds; 7 are the least"):
        compare([], [1.0] * 9)
