"""The real history: a backtest leaves the digest that the live pipeline leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from real_pipeline import SECRET, Client, Running, make_config, wait_for

from pipeline.backtest.engine import Engine
from pipeline.backtest.series import Series, by_symbol
from pipeline.config.schema import Exec, Strategy, Throttle, Trading
from pipeline.messages import Candle, CandleIn
from pipeline.replay.history import first, read_history
from pipeline.storage.audit import AuditReader
from pipeline.trading.instruments import Instruments

MONTH_S = 30 * 86_400
PINNED = Trading(
    strategies={
        "sma": Strategy(kind="sma_cross", fast=10, slow=30),
        "breakout": Strategy(kind="breakout", lookback=20, exit_lookback=10),
    },
    throttles=(Throttle(name="monthly", max_trades=2, window_seconds=MONTH_S, cooldown_seconds=3 * 86_400),),
)
"""Written out, so that the regression constants below do not move when a default is tuned."""
FULL_HISTORY = "22ba50a579fccc13d08cad030de48d6411c8b24100c0d216f3b79c6b9712f8eb"
"""What `ringline run` left under this configuration, from the audit of a live run: when this changes, what
users' strategies do on the same data has changed, and that must be meant."""


def inside(posted: dict[str, tuple[CandleIn, ...]]) -> dict[str, Series]:
    instruments = Instruments(Trading())
    candles = (instruments.inside(one) for rows in posted.values() for one in rows)
    return by_symbol(candle for candle in candles if isinstance(candle, Candle))


@pytest.mark.parametrize("path", ["auto", "live"])
def test_the_whole_history_leaves_the_digest_it_always_left(path: str) -> None:
    outcome = Engine(PINNED, Exec()).run(inside(read_history()), path)  # type: ignore[arg-type]
    assert outcome.digest == FULL_HISTORY


@pytest.mark.parametrize("policy", ["next_open", "signal_price", "worst_of_bar"])
def test_the_live_pipeline_and_the_backtest_leave_one_digest(tmp_path: Path, policy: str) -> None:
    compare(tmp_path, policy, 600)


def test_they_leave_one_digest_where_all_strategies_of_a_symbol_share_a_throttle(tmp_path: Path) -> None:
    shared: dict[str, Any] = {"name": "key", "per": "symbol", "max_trades": 2, "window_seconds": MONTH_S}
    shared |= {"cooldown_seconds": 3 * 86_400, "max_notional": "1000000"}
    compare(tmp_path, "next_open", 600, trading={"throttles": [shared]})


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("policy", ["next_open", "signal_price"])
def test_they_leave_one_digest_of_the_whole_history(tmp_path: Path, policy: str) -> None:
    compare(tmp_path, policy, sum(map(len, read_history().values())))


def compare(tmp_path: Path, policy: str, count: int, **changes: Any) -> None:
    posted = first(read_history(), count)
    config = make_config(tmp_path, exec={"fill_policy": policy}, **changes)
    with Running(config) as running:
        client = Client(running.config, SECRET)
        for symbol, candles in posted.items():
            for number, candle in enumerate(candles):
                event = msgspec.to_builtins(candle)
                client.post_until_taken(f"{symbol}-{number}", event)
        client.close()
        audit = Path(config.data_dir) / "audit.sqlite"
        wait_for(lambda: _rows(audit) == count, "all rows to be audited")
    reader = AuditReader.open(audit)
    live = reader.run_digest()
    reader.close()
    outcome = Engine(config.trading, config.exec).run(inside(posted))
    assert outcome.digest == live
    assert sum(len(record.fills) for record in outcome.records.values()) > 10


def _rows(audit: Path) -> int:
    reader = AuditReader.open(audit)
    try:
        return sum(reader.outcomes().values())
    finally:
        reader.close()


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_the_digest_is_the_same_in_every_process_whatever_the_hash_seed(seed: str) -> None:
    code = (
        "from pipeline.backtest.engine import Engine\n"
        "from pipeline.backtest.synthetic import synthetic\n"
        "from pipeline.config.schema import Exec, Strategy, Trading\n"
        "strategy = Strategy(kind='sma_cross', fast=5, slow=20)\n"
        "trading = Trading(strategies={'sma': strategy}, throttles=())\n"
        "print(Engine(trading, Exec()).run({'B': synthetic('B', 3000, 9)}).digest)\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    # A regression constant: made-up candles and what is decided on them must never differ between versions of
    # Python, numpy or this package.
    assert shown.stdout.strip() == SYNTHETIC


SYNTHETIC = "32b08993581fbe5f818a315b9a743fa2ca3bcb2b9bc0177ab6acd2a18404de42"
