"""Random configurations and series for holding two ways of running them to the same result."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from pipeline.backtest.series import Series
from pipeline.config import schema

DAY_US = 86_400_000_000


def random_series(random: Random, symbol: str = "K") -> Series:
    """Short and long, flat and wild, with ties, gaps and zero volume; sometimes one candle."""
    count = random.choice([1, 2, 3, random.randint(4, 60), random.randint(60, 400)])
    step = random.choice([0, 1, 1, 3, 500])
    price = random.choice([1, 5, 120, 127, 250, 65_530, 10**6, 2**32 - 50])
    times, rows, time_us = [], [], random.choice([0, 1, 900_000_000 * 10**6])
    for _ in range(count):
        time_us += random.choice([60_000_000, 60_000_000, 3_600_000_000, DAY_US, 40 * DAY_US])
        opened = max(1, price + random.randint(-step, step))
        price = max(1, opened + random.randint(-step, step))
        high, low = max(opened, price) + random.randint(0, step), min(opened, price)
        times.append(time_us)
        volume = random.choice([0, 0, random.randint(0, 300), random.randint(0, 10**7)])
        rows.append((opened, high, max(1, low - random.randint(0, step)), price, volume))
    columns = np.array(rows, dtype=np.int64).T
    return Series(symbol, np.array(times, dtype=np.int64), *(column.copy() for column in columns))


def random_strategy(random: Random) -> schema.Strategy:
    bars: dict[str, Any] = {
        "fast": random.randint(1, 4),
        "slow": random.randint(5, 12),
        "lookback": random.randint(2, 9),
        "exit_lookback": random.randint(1, 7),
        "target_bps": random.choice(["1", "50", "300"]),
        "rebalance_percent": random.choice(["0", "10"]),
        "deviations": random.choice(["0.5", "1", "1.25", "2"]),
    }
    return schema.Strategy(
        kind=random.choice(["sma_cross", "breakout", "mean_reversion", "volatility_target"]),
        quantity=random.choice(["1", "3", "2.5", "100"]),
        short=random.random() < 0.5,
        **bars,
    )


def random_throttle(random: Random, name: str) -> schema.Throttle:
    scope = schema.Scope(
        strategy_id=random.choice([None, None, "s0", "s1"]), symbol=random.choice([None, None, "K", "L"])
    )
    return schema.Throttle(
        name=name,
        max_trades=random.choice([0, 1, 2, 5]),
        window_seconds=random.choice([60, 3_600, 86_400, 30 * 86_400]),
        cooldown_seconds=random.choice([0, 0, 60, 86_400]),
        min_spacing_seconds=random.choice([0, 0, 600, 2 * 86_400]),
        max_notional=random.choice(["0", "0", "500", "10"]),
        multiplier=random.choice(["1", "1", "0.5", "0"]),
        scope=scope,
        per="symbol" if random.random() < 0.4 else "strategy_and_symbol",
        overrides=random.choice([(), (), (schema.Override(scope=schema.Scope(symbol="K"), max_trades=3),)]),
    )


def random_trading(random: Random) -> schema.Trading:
    strategies = {f"s{index}": random_strategy(random) for index in range(random.choice([0, 1, 1, 2, 4]))}
    if len(strategies) == 4 and random.random() < 0.5:
        members = {"s0": "1", "s2": random.choice(["0.5", "3"])}
        strategies["both"] = schema.Strategy(kind="ensemble", members=members, quantity="7")
    return schema.Trading(
        instruments={"default": schema.Instrument(price_scale=2, quantity_scale=1, tick="0.01", lot="0.1")},
        strategies=strategies,
        throttles=tuple(random_throttle(random, f"t{index}") for index in range(random.choice([0, 0, 1, 2]))),
    )


def random_exec(random: Random) -> schema.Exec:
    return schema.Exec(
        fill_policy=random.choice(["next_open", "signal_price", "worst_of_bar"]),
        commission_bps=random.choice(["0", "1", "2.5"]),
        slippage_bps=random.choice(["0", "0", "3", "250"]),
    )
