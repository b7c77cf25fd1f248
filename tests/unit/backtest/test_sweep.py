from __future__ import annotations

import pytest

from pipeline.backtest.sweep import axis, sweep
from pipeline.backtest.synthetic import synthetic
from pipeline.config import Config
from pipeline.errors import UsageError

AXES = [axis("strategies.sma.fast=5,40"), axis("trading.strategies.sma.slow=30,60")]
SERIES = {"B": synthetic("B", 2_000, 3)}


def test_combinations_come_in_order_and_impossible_ones_say_why() -> None:
    runs = list(sweep(Config(), AXES, SERIES, jobs=1))
    assert [tuple(run.values.values()) for run in runs] == [
        ("5", "30"),
        ("5", "60"),
        ("40", "30"),
        ("40", "60"),
    ]
    assert runs[2].fault == "trading.strategies.sma.fast = 40: must be below slow (30)"
    assert not runs[2].digest
    assert len({run.digest for run in runs}) == 4
    assert not any(run.fault for run in runs if run is not runs[2])


def test_several_processes_give_what_one_gives() -> None:
    told: list[int] = []
    assert list(sweep(Config(), AXES, SERIES, jobs=2, progress=told.append)) == list(
        sweep(Config(), AXES, SERIES, jobs=1)
    )
    assert sum(told) == 4


def test_a_key_that_is_not_there_is_named() -> None:
    (run,) = sweep(Config(), [axis("strategies.none.fast=5")], SERIES, jobs=1)
    assert run.fault == "trading.strategies.none.fast: no such key"


@pytest.mark.parametrize("text", ["fast", "=5", "fast=", "fast=,"])
def test_an_axis_without_key_or_values_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected KEY=VALUE"):
        axis(text)


def test_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="given twice"):
        axis("a=1,1")
    with pytest.raises(UsageError, match="given twice"):
        list(sweep(Config(), [AXES[0], AXES[0]], SERIES, jobs=1))


def test_too_many_combinations_are_refused() -> None:
    wide = tuple(map(str, range(400)))
    with pytest.raises(UsageError, match="160000 combinations; the limit is 100000"):
        list(sweep(Config(), [("trading.a", wide), ("trading.b", wide)], SERIES, jobs=1))
