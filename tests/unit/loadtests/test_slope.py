from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.slope import LEAST_POINTS, medians, theil_sen


def test_a_line_has_its_own_slope_and_no_width() -> None:
    found = theil_sen(range(1000), [3.0 * x + 7 for x in range(1000)])
    assert found is not None
    assert found.value == found.low == found.high == pytest.approx(3.0)


def test_outliers_do_not_move_it() -> None:
    y = [2.0 * x for x in range(1000)]
    for index in range(0, 1000, 10):
        y[index] += 1e6
    found = theil_sen(range(1000), y)
    assert found is not None
    assert found.value == pytest.approx(2.0, rel=0.01)


def test_the_interval_holds_the_true_slope_of_noise() -> None:
    dice = random.Random(8)
    held = 0
    for _ in range(100):
        y = [0.5 * x + dice.gauss(0, 40) for x in range(400)]
        found = theil_sen(range(400), y)
        assert found is not None
        held += found.low <= 0.5 <= found.high
    assert held >= 95


def test_a_flat_series_with_noise_may_be_flat() -> None:
    dice = random.Random(3)
    found = theil_sen(range(400), [dice.gauss(100, 10) for _ in range(400)])
    assert found is not None
    assert found.low < 0 < found.high


def test_too_few_points_give_no_answer() -> None:
    few = LEAST_POINTS - 1
    assert theil_sen(range(few), [1.0] * few) is None
    assert theil_sen([], []) is None
    assert theil_sen([5.0] * 50, [1.0] * 50) is None


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(-1e6, 1e6)), min_size=1, max_size=200))
@settings(max_examples=60)
def test_medians_lie_within_what_they_stand_for(points: list[tuple[float, float]]) -> None:
    x, y = [point[0] for point in points], [point[1] for point in points]
    found = medians(x, y, 10)
    assert 1 <= len(found) <= 10
    assert all(min(x) <= a <= max(x) and min(y) <= b <= max(y) for a, b in found)
    assert [a for a, _ in found] == sorted(a for a, _ in found)
