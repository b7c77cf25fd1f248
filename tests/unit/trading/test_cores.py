"""Whoever reads what was decided needs nothing of a user's strategy."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import schema
from pipeline.messages import Candle
from pipeline.trading.cores import agent_logic, reading_logic

STRATEGY = """
from pathlib import Path
from msgspec import Struct
Path({mark!r}).write_text("imported")
class Notes(Struct, frozen=True):
    seen: int = 0
class Mine:
    memory = Notes
    def origin(self):
        return Notes()
    def step(self, memory, candle):
        return Notes(memory.seen + 1), 10_000 if memory.seen % 2 else 0
"""


@pytest.mark.parametrize("ensemble", [False, True])
def test_the_state_of_rows_is_read_without_loading_the_strategy(tmp_path: Path, ensemble: bool) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "mine.py").write_text(STRATEGY.format(mark=str(mark)))
    strategies = {"mine": schema.Strategy(kind="custom", source=f"{tmp_path}/mine.py:Mine")}
    if ensemble:
        strategies["vote"] = schema.Strategy(kind="ensemble", members={"mine": "1"})
    throttle = schema.Throttle(name="t", max_trades=2, window_seconds=3600)
    trading, execs = schema.Trading(strategies=strategies, throttles=(throttle,)), schema.Exec()
    reading = reading_logic(trading, execs)
    assert not mark.exists()
    deciding = agent_logic(trading, execs)
    assert mark.exists()
    assert reading.code == deciding.code
    state = deciding.origin("AAPL")
    read = reading.origin("AAPL")
    for number in range(1, 12):
        candle = Candle("AAPL", number * 60_000_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000, 1)
        state, decision = deciding.step(state, candle, key_seq=number, at_us=candle.time_us)
        read = reading.apply(read, candle, decision, key_seq=number, at_us=candle.time_us)
        for known in (read, reading.decode(deciding.encode(state))):
            assert reading.throttle_scopes(known) == deciding.throttle_scopes(state)
            assert [slot.position for slot in known.slots] == [slot.position for slot in state.slots]
    assert any(scope["remaining_trades"] == 0 for scope in deciding.throttle_scopes(state))
