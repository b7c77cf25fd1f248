"""A strategy that waits for ever costs its own legs, and nothing else."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from real_pipeline import Client, Running, candle, make_config, wait_for

from pipeline import limits
from pipeline.messages import decode_decision
from pipeline.storage.audit import AuditReader

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

STRATEGY = """
import time
from msgspec import Struct

class Notes(Struct, frozen=True):
    seen: int = 0

class Mine:
    memory = Notes
    def origin(self):
        return Notes()
    def step(self, memory, candle):
        if candle.symbol == "AAPL":
            time.sleep(3600)
        return Notes(memory.seen + 1), None
"""


def test_everything_is_audited_and_only_its_legs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(STRATEGY)
    strategies = {
        "mine": {"kind": "custom", "source": f"{tmp_path}/mine.py:Mine"},
        "sma": {"kind": "sma_cross"},
    }
    config = make_config(tmp_path, trading={"strategies": strategies})
    wanted = {(symbol, day) for symbol in ("AAPL", "MSFT") for day in range(4)}
    with Running(config) as running, contextlib.closing(Client(config)) as client:
        for symbol, day in sorted(wanted):
            client.post_until_taken(f"{symbol}-{day}", candle(symbol, day, "100.00"))
        reader = AuditReader.open(Path(config.data_dir) / "audit.sqlite")
        within_s = limits.MAX_HANGS * limits.MAX_CALL_S + 60
        wait_for(lambda: reader.head().seq == len(wanted), "every row", within_s)
        rows = [row.delivery for row in reader.rows()]
        reader.close()
        assert running.pid("agent-0") is not None
    reasons = {
        (row.key, leg.strategy): leg.reasons for row in rows for leg in decode_decision(row.decision).legs
    }
    assert reasons["AAPL", "mine"] == (f"STRATEGY_HUNG: limit_seconds={limits.MAX_CALL_S}",)
    assert {strategy for (_, strategy), found in reasons.items() if found} == {"mine"}
