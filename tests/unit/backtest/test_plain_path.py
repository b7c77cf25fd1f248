"""One strategy, long or flat, that nothing refuses: computed in columns, and still the live path."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pipeline.backtest import fast_path
from pipeline.backtest.engine import Engine
from pipeline.backtest.plain_path import turns
from pipeline.backtest.series import Series, from_candles
from pipeline.backtest.wishes import wishes
from pipeline.config import schema
from pipeline.trading.walk import random_walk

POLICIES: list[Any] = ["next_open", "signal_price", "worst_of_bar"]
KINDS: list[Any] = ["sma_cross", "breakout", "mean_reversion"]


def engine_of(policy: Any = "next_open", throttles: Any = (), slippage: str = "0", **given: Any) -> Engine:
    strategy = schema.Strategy(**{"kind": "sma_cross", "fast": 1, "slow": 3, **given})
    trading = schema.Trading(strategies={"s": strategy}, throttles=throttles)
    return Engine(trading, schema.Exec(fill_policy=policy, slippage_bps=slippage))


def walk(count: int, seed: int, price: int = 1_000_000) -> Series:
    return from_candles(list(random_walk("A", count, seed, price=price)))


def is_plain(engine: Engine, series: Series) -> bool:
    plan = engine.agent.plan_of("A")
    assert not fast_path.why_not(engine.agent, series)
    return turns(plan, [wishes(seat.strategy, series) for seat in plan.seats]) is not None


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_live_path_over_random_series(policy: Any, kind: Any) -> None:
    draw = random.Random(f"{policy} {kind}")
    filled = 0
    for seed in range(60):
        engine = engine_of(
            policy,
            kind=kind,
            fast=(fast := draw.randint(1, 4)),
            slow=fast + draw.randint(1, 5),
            lookback=draw.randint(2, 5),
            exit_lookback=draw.randint(1, 4),
            deviations=draw.choice(("0.5", "1")),
            quantity=draw.choice(("1", "0.0001", "3")),
            slippage=draw.choice(("0", "7")),
        )
        series = walk(draw.choice((1, 2, 3, 7, 30, 100)), seed, draw.choice((1000, 1_000_000)))
        assert is_plain(engine, series)
        fast_run, live = engine.run({"A": series}), engine.run({"A": series}, "live")
        assert fast_run.digest == live.digest
        assert fast_run.records["A"].same(live.records["A"])
        filled += len(live.records["A"].fills)
    assert filled > 100


@pytest.mark.parametrize(
    "given",
    [
        {"short": True},
        {"kind": "volatility_target", "lookback": 2, "target_bps": "30"},
        {"throttles": (schema.Throttle(name="t", max_trades=1),)},
    ],
)
def test_what_is_not_so_plain_is_walked(given: dict[str, Any]) -> None:
    assert not is_plain(engine_of(**given), walk(200, 3))


def test_an_order_on_the_last_candle_waits_for_ever() -> None:
    engine = engine_of(fast=1, slow=2)
    series = walk(120, 8)
    rows = [fill.order_seq - 1 for _, fill in engine.run({"A": series}).records["A"].fills]
    part = series.part(0, rows[-1] + 1)
    record = engine.run({"A": part}).records["A"]
    assert record.orders == len(record.fills) + 1
    assert engine.run({"A": part}).digest == engine.run({"A": part}, "live").digest
