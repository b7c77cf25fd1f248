"""The fast path is the live path, only faster: same fills, same counts, same digest."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest
from random_runs import random_exec, random_series, random_trading

from pipeline import limits
from pipeline.backtest import native
from pipeline.backtest.engine import Engine, Outcome
from pipeline.backtest.series import Series
from pipeline.backtest.synthetic import synthetic
from pipeline.config import schema


def both(engine: Engine, series: dict[str, Series]) -> tuple[Outcome, Outcome]:
    """The fast path's outcome (rows by the C extension if it was built, and by numpy) and the live one's."""
    fast, live = engine.run(series), engine.run(series, "live")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "extension", None)
        by_numpy = engine.run(series)
    assert fast.digest == by_numpy.digest == live.digest
    for symbol in series:
        assert fast.records[symbol].same(live.records[symbol])
        assert by_numpy.records[symbol].same(live.records[symbol])
    return fast, live


def compare(seeds: range) -> Counter[str]:
    """Runs random cases both ways; returns how much of what matters they had."""
    seen: Counter[str] = Counter()
    for seed in seeds:
        random = Random(seed)
        engine = Engine(random_trading(random), random_exec(random))
        series = {symbol: random_series(random, symbol) for symbol in ("K", "L")[: random.randint(1, 2)]}
        fast, _ = both(engine, series)
        for record in fast.records.values():
            seen["fast"] += record.path == "fast"
            seen["fills"] += len(record.fills)
            seen["denied"] += record.denied
            seen["one candle"] += record.candles == 1
    return seen


@pytest.mark.parametrize("batch", range(4))
def test_both_paths_agree_on_random_runs(batch: int) -> None:
    seen = compare(range(100 * batch, 100 * batch + 100))
    assert seen["fast"] > 100
    assert min(seen["fills"], seen["denied"], seen["one candle"]) > 10


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(4))
def test_both_paths_agree_on_thousands_of_random_runs(batch: int) -> None:
    seen = compare(range(10_000 + 1_000 * batch, 10_000 + 1_000 * batch + 1_000))
    assert seen["fast"] > 1_000


@pytest.mark.parametrize("policy", ["next_open", "signal_price", "worst_of_bar"])
def test_both_paths_agree_on_a_long_series_under_the_default_configuration(policy: str) -> None:
    execs = schema.Exec(fill_policy=policy)  # type: ignore[arg-type]
    fast, _ = both(Engine(schema.Trading(), execs), {"BTCUSDT": synthetic("BTCUSDT", 20_000, 1337)})
    assert not fast.slow
    assert fast.records["BTCUSDT"].fills


def flat(close: list[int], **changes: object) -> Series:
    column = np.array(close, dtype=np.int64)
    times = changes.get("times", range(1, len(close) + 1))
    assert isinstance(times, range | list)
    return Series(
        "K", np.array(times, dtype=np.int64) * 60_000_000, column, column, column, column, column * 0
    )


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        (flat([5, 6, 7], times=[1, 1, 2]), "times do not rise"),
        (flat([5, 6, 7], times=[3, 2, 4]), "times do not rise"),
        (flat([limits.MAX_SCALED] * 3), "a position's value may exceed the limit of exact amounts"),
    ],
)
def test_what_the_fast_path_does_not_cover_takes_the_live_path(series: Series, reason: str) -> None:
    outcome, _ = both(Engine(schema.Trading(), schema.Exec()), {"K": series})
    assert outcome.slow == {"K": reason}
    assert outcome.records["K"].path == "live"


def test_closes_too_large_for_columns_are_stepped_with_the_same_result() -> None:
    trading = schema.Trading(
        strategies={
            "a": schema.Strategy(kind="sma_cross", fast=300, slow=900, quantity="0.0001"),
            "b": schema.Strategy(kind="mean_reversion", lookback=600, deviations="0.01", quantity="0.0001"),
        },
        throttles=(),
    )
    random = Random(5)
    closes = [limits.MAX_SCALED - random.randint(0, 10**14) for _ in range(2_000)]
    outcome, _ = both(Engine(trading, schema.Exec()), {"K": flat(closes)})
    assert outcome.records["K"].path == "fast"
    assert outcome.records["K"].fills


def test_a_series_without_candles_has_its_key_in_the_digest_only() -> None:
    outcome, _ = both(Engine(schema.Trading(), schema.Exec()), {"K": flat([])})
    assert outcome.records["K"].candles == 0


def test_progress_adds_up_to_the_candles_on_both_paths() -> None:
    engine = Engine(schema.Trading(), schema.Exec())
    series = {"BTCUSDT": synthetic("BTCUSDT", 20_000, 1)}
    for path in ("auto", "live"):
        told: list[int] = []
        engine.run(series, path, told.append)
        assert sum(told) == 20_000
