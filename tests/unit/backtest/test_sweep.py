from __future__ import annotations

from decimal import Decimal

import pytest

from pipeline.backtest.assemble import Findings
from pipeline.backtest.engine import Engine
from pipeline.backtest.report import build_report, exact_text, without_throttles
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


def test_an_absurd_number_of_combinations_is_refused_before_they_are_made() -> None:
    axes = [axis(f"strategies.sma.k{number}=" + ",".join(map(str, range(100)))) for number in range(12)]
    with pytest.raises(UsageError, match=f"{100**12} combinations; the limit is 100000"):
        next(sweep(Config(), axes, {}, jobs=1))


def test_too_many_combinations_are_refused() -> None:
    wide = tuple(map(str, range(400)))
    with pytest.raises(UsageError, match="160000 combinations; the limit is 100000"):
        list(sweep(Config(), [("trading.a", wide), ("trading.b", wide)], SERIES, jobs=1))


def test_a_combination_has_the_figures_that_its_own_backtest_has() -> None:
    series = {name: synthetic(name, 1_500, seed) for seed, name in enumerate("AB")}
    config = Config()
    (run,) = sweep(config, [axis("strategies.sma.fast=10")], series, jobs=1)
    engine = Engine(config.trading, config.exec)
    sizes = {name: len(one) for name, one in series.items()}
    found = Findings(candles=sum(sizes.values()), symbols=sizes)
    report = build_report(engine, series, engine.run(series), found, "test")
    assert len({line.strategy for line in report.lines}) == 2
    assert run.digest == report.digest
    names = ("net", "trades", "drawdown", "sharpe", "exposure", "denied")
    assert [getattr(run, name) for name in names] == [getattr(report, name) for name in names]
    assert run.exposure < 1


def test_money_is_printed_with_no_more_digits_than_it_has() -> None:
    series = {"B": synthetic("B", 2_000, 3)}
    engine = Engine(Config().trading, Config().exec)
    free = Engine(without_throttles(Config().trading), Config().exec).run(series)
    found = Findings(candles=2_000, symbols={"B": 2_000})
    report = build_report(engine, series, engine.run(series), found, "test", unthrottled=free)
    assert report.throttle is not None
    exact = sum((Decimal(line.net) for line in report.lines), Decimal(0))
    assert report.net == exact_text(exact)
    assert Decimal(report.throttle.cost) == Decimal(report.throttle.net) - exact
    for money in (report.capital, report.drawdown, *(line.drawdown for line in report.lines)):
        assert len(repr(money).partition(".")[2]) <= 8
