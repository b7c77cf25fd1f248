"""A strategy that changes its candle changes nobody else's, and both paths agree on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.backtest.engine import Engine, Outcome
from pipeline.backtest.engine import Path as RunPath
from pipeline.backtest.synthetic import synthetic
from pipeline.config import schema

STRATEGY = """
import msgspec
from msgspec import Struct
from pipeline.messages import Candle

class Notes(Struct, frozen=True):
    seen: int = 0

class Mine:
    memory = Notes
    def origin(self):
        return Notes()
    def step(self, memory, candle):
        if memory.seen >= 20:
            {change}
        return Notes(memory.seen + 1), 10_000 if memory.seen % 3 == 0 else None
"""
CHANGES = [
    "msgspec.structs.force_setattr(candle, 'close', 1)",
    "msgspec.structs.force_setattr(candle, 'symbol', 'X')",
    "msgspec.structs.force_setattr(candle, 'volume', candle.volume == 0)",
    "Candle.high.__set__(candle, 2**80)",
    "Candle.close.__delete__(candle)",
    "Candle.close.__set__(candle, type('Anything', (int,), {'__eq__': lambda self, other: True})(7))",
]


def outcome(folder: Path, change: str, path: RunPath, name: str, **more: Any) -> Outcome:
    (folder / "mine.py").write_text(STRATEGY.replace("{change}", change))
    mine = schema.Strategy(kind="custom", source=f"{folder}/mine.py:Mine")
    strategies = {name: mine, "m": schema.Strategy(kind="sma_cross", fast=3, slow=9), **more}
    engine = Engine(schema.Trading(strategies=strategies, throttles=()), schema.Exec())
    return engine.run({"K": synthetic("K", 120, 1)}, path)


def fills_of(found: Outcome, strategy: str) -> list[Any]:
    return [
        (row, fill.side, fill.quantity, fill.price)
        for row, fill in found.records["K"].fills
        if fill.strategy == strategy
    ]


@pytest.mark.parametrize("name", ["a", "z"])
@pytest.mark.parametrize("change", CHANGES)
def test_its_leg_is_rejected_and_nobody_else_sees_it(tmp_path: Path, change: str, name: str) -> None:
    honest = outcome(tmp_path, "pass", "live", name)
    live, fast = (outcome(tmp_path, change, path, name) for path in ("live", "auto"))
    assert live.digest == fast.digest != honest.digest
    assert live.records["K"].denials == fast.records["K"].denials == {"STRATEGY_NONSENSE": 100}
    assert fills_of(live, "m") == fills_of(fast, "m") == fills_of(honest, "m")


def test_a_candle_that_it_keeps_may_be_changed_later_to_no_effect(tmp_path: Path) -> None:
    later = (
        "self.kept = [*getattr(self, 'kept', []), candle]; "
        "[msgspec.structs.force_setattr(one, 'close', 1) for one in self.kept[:-1]]"
    )
    assert outcome(tmp_path, later, "live", "a").digest == outcome(tmp_path, "pass", "live", "a").digest


def test_a_member_of_an_ensemble_changes_nothing_either(tmp_path: Path) -> None:
    more = {
        "vote": schema.Strategy(kind="ensemble", members={"a": "1", "other": "1"}),
        "other": schema.Strategy(kind="sma_cross", fast=2, slow=5),
    }
    live, fast = (outcome(tmp_path, CHANGES[0], path, "a", **more) for path in ("live", "auto"))
    assert live.digest == fast.digest
    assert live.records["K"].denials == {"STRATEGY_NONSENSE": 100}
