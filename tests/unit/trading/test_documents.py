"""What the page on the trading core says is run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from pipeline.backtest.engine import Engine
from pipeline.backtest.synthetic import synthetic
from pipeline.config import resolve, schema

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/trading.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_run_one_after_the_other() -> None:
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block, names)
    assert len(blocks("python")) >= 4


def test_the_configurations_are_accepted() -> None:
    for block in blocks("toml"):
        assert resolve(tomllib.loads(block))


def test_the_example_of_a_strategy_trades() -> None:
    source = f"{ROOT}/examples/strategy.py:Streak"
    streak = schema.Strategy(kind="custom", source=source, parameters={"down": 1})
    engine = Engine(schema.Trading(strategies={"streak": streak}, throttles=()), schema.Exec())
    record = engine.run({"A": synthetic("A", 300, 1)}).records["A"]
    assert len(record.fills) > 10
    assert not record.denied
