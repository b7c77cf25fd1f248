"""The plant: what goes in comes out, in order and in time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_operator.simulation.plant import STEP_S, Plant, StageModel

EXACT = StageModel("one", rate=100, noise=0, start_noise=0)


def driven(plant: Plant, rate: float, seconds: float) -> Plant:
    for _ in range(round(seconds / STEP_S)):
        plant.advance(rate)
    return plant


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 800), st.integers(1, 6), st.integers(1, 6))
def test_nothing_is_lost_or_made_up(seed: int, rate: int, first: int, second: int) -> None:
    models = (EXACT._replace(first=first), EXACT._replace(name="two", first=second, rate=70, noise=0.2))
    plant = driven(Plant(models, seed), rate, 20)
    one, two = plant.stages
    assert abs(one.history[-1].arrived - one.history[-1].handled - one.queued) < 1e-6 * (1 + rate)
    assert abs(one.history[-1].handled - two.history[-1].handled - two.queued) < 1e-6 * (1 + rate)


def test_an_overloaded_stage_does_what_it_can_and_falls_behind_by_the_rest() -> None:
    plant = driven(Plant((EXACT,), 1), 200, 40)
    stage = plant.stages[0]
    assert stage.window(10).handled == 1000
    # At twice the capacity the oldest message is as old as half the time.
    assert 18 <= stage.lag_s(plant.now_s) <= 22


def test_a_slow_stage_blocks_the_one_before_it() -> None:
    plant = driven(Plant((EXACT._replace(first=4), EXACT._replace(name="two", rate=50)), 1), 300, 60)
    one, two = plant.stages
    assert one.window(1).blocked_ms > 0.5 * 1000 * one.ready
    assert abs(one.window(10).handled - 500) < 20
    assert two.window(1).throttled > 0


def test_a_pod_is_ready_after_its_start_time_and_the_newest_leave_first() -> None:
    plant = Plant((EXACT,), 1)
    stage = plant.stages[0]
    stage.scale(4, 0)
    driven(plant, 0, 7.75)
    assert (stage.ready, len(stage.starting)) == (1, 3)
    plant.advance(0)
    assert (stage.ready, stage.started_s) == (4, [8.0] * 3)
    stage.scale(5, plant.now_s)
    stage.scale(3, plant.now_s)
    assert (stage.ready, stage.starting) == (3, [])


def test_one_seed_is_one_run_and_scaling_does_not_change_the_weather() -> None:
    models = (StageModel("one", rate=100), StageModel("two", rate=90))
    first, again, scaled = Plant(models, 7), Plant(models, 7), Plant(models, 7)
    scaled.stages[1].scale(3, 0)
    for plant in (first, again, scaled):
        driven(plant, 60, 30)
    assert first.stages[1].history == again.stages[1].history
    assert first.stages[0].history[-1].arrived == scaled.stages[0].history[-1].arrived
