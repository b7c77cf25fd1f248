"""What is decided on a candle depends on it and those before it, whatever comes later."""

from __future__ import annotations

from random import Random

import pytest
from random_runs import random_exec, random_series, random_trading

from pipeline.backtest.engine import Engine


@pytest.mark.parametrize("seed", range(40))
def test_a_longer_series_begins_with_the_fills_of_the_shorter_one(seed: int) -> None:
    random = Random(seed)
    engine = Engine(random_trading(random), random_exec(random))
    whole = random_series(random)
    cut = random.randint(0, len(whole))
    long = engine.run({"K": whole}).records["K"].fills
    for path in ("auto", "live"):
        short = engine.run({"K": whole.part(0, cut)}, path).records["K"].fills
        assert short == [(row, fill) for row, fill in long if row < cut]
