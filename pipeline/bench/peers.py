"""Other backtesters on the same candles, where somebody has installed them; each in a process of its own.

Each program prints seconds of its run, one line a repeat, after a warm-up. None of them is needed.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import util

from msgspec import Struct

TIMEOUT_S = 600

_HEAD = """
import sys, time
import numpy as np, pandas as pd
from pipeline.backtest.synthetic import synthetic
count, seed, repeats = map(int, sys.argv[1:])
made = synthetic("B", count, seed)
index = pd.to_datetime(made.time_us, unit="us")
frame = pd.DataFrame({"Open": made.open / 1e4, "High": made.high / 1e4, "Low": made.low / 1e4,
                      "Close": made.close / 1e4, "Volume": made.volume / 1e4}, index=index)
def timed(action):
    action()
    for _ in range(repeats):
        started = time.perf_counter(); action(); print(time.perf_counter() - started, flush=True)
"""

_BACKTESTING = """
from backtesting import Backtest, Strategy
from backtesting.lib import crossover
from backtesting.test import SMA
class Cross(Strategy):
    def init(self):
        self.fast, self.slow = self.I(SMA, self.data.Close, 10), self.I(SMA, self.data.Close, 30)
    def next(self):
        if crossover(self.fast, self.slow): self.buy(size=1)
        elif crossover(self.slow, self.fast): self.position.close()
timed(Backtest(frame, Cross, commission=0.0001, cash=1e9).run)
"""

_VECTORBT = """
import vectorbt as vbt
close, opened = frame["Close"], frame["Open"]
def once():
    fast, slow = vbt.MA.run(close, 10), vbt.MA.run(close, 30)
    vbt.Portfolio.from_signals(
        close, fast.ma_crossed_above(slow), fast.ma_crossed_below(slow), size=1, fees=0.0001, init_cash=1e9,
        price=opened.shift(-1).fillna(close.iloc[-1]), freq="1min").total_profit()
timed(once)
"""

_BACKTRADER = """
import backtrader as bt
class Cross(bt.Strategy):
    def __init__(self):
        self.cross = bt.ind.CrossOver(bt.ind.SMA(period=10), bt.ind.SMA(period=30))
    def next(self):
        if self.cross > 0: self.buy(size=1)
        elif self.cross < 0: self.close()
def once():
    engine = bt.Cerebro(stdstats=False)
    engine.broker.setcash(1e9)
    engine.broker.setcommission(commission=0.0001)
    engine.adddata(bt.feeds.PandasData(dataname=frame))
    engine.addstrategy(Cross)
    engine.run()
timed(once)
"""


class Peer(Struct, frozen=True):
    """`candles` bounds the work of a slow one; its speed does not depend on it."""

    name: str
    module: str
    program: str
    candles: int

    def installed(self) -> bool:
        return util.find_spec(self.module) is not None and util.find_spec("pandas") is not None


PEERS = (
    Peer("vectorbt", "vectorbt", _VECTORBT, 10**9),
    Peer("backtesting.py", "backtesting", _BACKTESTING, 50_000),
    Peer("backtrader", "backtrader", _BACKTRADER, 20_000),
)


def measured(peer: Peer, candles: int, seed: int, repeats: int) -> float | None:
    """Candles per second, the best repeat; None when it fails or takes too long."""
    count = min(candles, peer.candles)
    arguments = [str(count), str(seed), str(repeats)]
    try:
        done = subprocess.run(
            [sys.executable, "-c", _HEAD + peer.program, *arguments],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        return count / min(float(line) for line in done.stdout.split())
    except (subprocess.SubprocessError, ValueError):
        return None
