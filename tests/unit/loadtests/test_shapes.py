from __future__ import annotations

import pytest

from loadtests.shapes import RECOVERING, SHAPES, judged_step, shaped, step_at, step_end_s, users_at
from pipeline.cli.loadtest import SHAPES as OFFERED


def test_the_command_offers_every_shape() -> None:
    assert set(OFFERED) == set(SHAPES)


@pytest.mark.parametrize(
    ("name", "minutes", "users"),
    [("smoke", 5, 10), ("load", 30, 100), ("stress", 15, 500), ("spike", 10, 200), ("soak", 120, 50)],
)
def test_shapes_are_as_specified(name: str, minutes: int, users: int) -> None:
    shape = SHAPES[name]
    assert shape.duration_s == minutes * 60
    assert max(step.users for step in shape.steps) == users


def test_a_ramp_reaches_its_users_at_its_end() -> None:
    shape = SHAPES["load"]
    assert [users_at(shape, at_s) for at_s in (0, 15, 30, 1799)] == [1, 50, 100, 100]
    assert users_at(shape, 1800) is None


def test_a_spike_comes_at_once_and_goes_at_once() -> None:
    shape = SHAPES["spike"]
    assert [users_at(shape, at_s) for at_s in (119, 120, 479, 480)] == [10, 200, 200, 10]
    assert step_end_s(shape, shape.spike_step) == 480


def test_a_time_scale_shortens_and_leaves_users_and_rates() -> None:
    whole, short = SHAPES["stress"], shaped("stress", time_scale=0.1)
    assert short.duration_s == pytest.approx(whole.duration_s / 10)
    assert [step.users for step in short.steps] == [step.users for step in whole.steps]
    assert short.peak_per_s == whole.peak_per_s == 2500
    assert short.time_scale == 0.1


@pytest.mark.parametrize("name", sorted(SHAPES))
@pytest.mark.parametrize("rate", [1.0, 37.0, 3000.0])
def test_an_open_variant_has_the_asked_rate_at_its_peak(name: str, rate: float) -> None:
    shape = shaped(name, peak_per_s=rate)
    assert shape.open_model
    assert shape.peak_per_s == pytest.approx(rate)
    counts = [step.users for step in shape.steps]
    closed = [step.users for step in SHAPES[name].steps]
    assert (counts == sorted(counts)) == (closed == sorted(closed))


def test_every_moment_has_its_step() -> None:
    shape = SHAPES["stress"]
    assert [step_at(shape, at_s) for at_s in (0, 89.9, 90, 899, 5000)] == [0, 0, 1, 9, 9]


def test_the_time_for_recovering_belongs_to_no_step() -> None:
    found = [judged_step(SHAPES["spike"], at_s, 5.0) for at_s in (119, 121, 479, 480, 484.9, 485, 599)]
    assert found == [0, 1, 1, RECOVERING, RECOVERING, 2, 2]
    assert judged_step(SHAPES["stress"], 91, 5.0) == 1, "there is nothing to recover from"
