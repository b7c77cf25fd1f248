"""Other backtesters on the same candles, where somebody has installed them; each in a process of its own.

Each program prints a line a repeat, after a warm-up: seconds of its run, of processor time, and of its run
with data preparation, from columns of floats and times on. None is needed, and they may be installed
in another environment: what they pin need not agree with what we need.
"""

from __future__ import annotations

import io
import json
import subprocess
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from pipeline.backtest.synthetic import synthetic
from pipeline.errors import MissingError

TIMEOUT_S = 600

PROBE_S = 60

_PROBE = """
import importlib.util, importlib.metadata, json, sys
found = {}
for name, distribution, *modules in json.loads(sys.argv[1]):
    if all(importlib.util.find_spec(module) for module in modules):
        found[name] = importlib.metadata.version(distribution)
print(json.dumps(found))
"""

_HEAD = """
import io, sys, time
import numpy as np, pandas as pd
repeats = int(sys.argv[1])
made = np.load(io.BytesIO(sys.stdin.buffer.read()))
names = ("Open", "High", "Low", "Close", "Volume")
columns = {name: made[at] / 1e4 for at, name in enumerate(names, 1)}
def build():
    return pd.DataFrame(columns, index=pd.to_datetime(made[0], unit="us"))
def spent(action):
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - cpu
def timed(prepare):
    run = prepare(build())
    run()
    for _ in range(repeats):
        print(*spent(run), spent(lambda: prepare(build())())[0], flush=True)
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
timed(lambda frame: Backtest(frame, Cross, commission=0.0001, cash=1e9).run)
"""

_VECTORBT = """
import vectorbt as vbt
vbt.settings["engine"] = "%s"
def prepare(frame):
    close, opened = frame["Close"], frame["Open"]
    def once():
        fast, slow = vbt.MA.run(close, 10), vbt.MA.run(close, 30)
        vbt.Portfolio.from_signals(
            close, fast.ma_crossed_above(slow), fast.ma_crossed_below(slow), size=1, fees=0.0001,
            init_cash=1e9, price=opened.shift(-1).fillna(close.iloc[-1]), freq="1min").total_profit()
    return once
timed(prepare)
"""

_BACKTRADER = """
import backtrader as bt
class Cross(bt.Strategy):
    def __init__(self):
        self.cross = bt.ind.CrossOver(bt.ind.SMA(period=10), bt.ind.SMA(period=30))
    def next(self):
        if self.cross > 0: self.buy(size=1)
        elif self.cross < 0: self.close()
def prepare(frame):
    def once():
        engine = bt.Cerebro(stdstats=False)
        engine.broker.setcash(1e9)
        engine.broker.setcommission(commission=0.0001)
        engine.adddata(bt.feeds.PandasData(dataname=frame))
        engine.addstrategy(Cross)
        engine.run()
    return once
timed(prepare)
"""


class Peer(Struct, frozen=True):
    """`distribution` names its package, `modules` what must be there; `candles` bounds the work of a slow
    one, whose speed does not depend on it."""

    name: str
    distribution: str
    modules: tuple[str, ...]
    program: str
    candles: int


PEERS = (
    Peer("vectorbt-rust", "vectorbt", ("vectorbt", "vectorbt_rust", "pandas"), _VECTORBT % "rust", 10**9),
    Peer("vectorbt", "vectorbt", ("vectorbt", "pandas"), _VECTORBT % "numba", 10**9),
    Peer("backtesting.py", "backtesting", ("backtesting", "pandas"), _BACKTESTING, 50_000),
    Peer("backtrader", "backtrader", ("backtrader", "pandas"), _BACKTRADER, 20_000),
)


def installed(python: str) -> dict[str, str]:
    """Peers that the interpreter `python` has, each with its version. Raises MissingError when it is none."""
    asked = json.dumps([(peer.name, peer.distribution, *peer.modules) for peer in PEERS])
    try:
        done = subprocess.run(
            [python, "-c", _PROBE, asked], capture_output=True, text=True, timeout=PROBE_S, check=True
        )
        versions: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise MissingError(f"--peers-python {python}: is no Python that runs: {reason}") from None
    return versions


class Speed(NamedTuple):
    """Candles a second by the clock (median of the repeats) and of processor time (the best), and by the
    clock with data preparation."""

    wall: float
    cpu: float
    prepared: float


def measured(peer: Peer, python: str, candles: int, seed: int, repeats: int) -> Speed | None:
    """The speed of one peer; None when it fails or takes too long."""
    count = min(candles, peer.candles)
    data = io.BytesIO()
    np.save(data, np.stack(synthetic("B", count, seed).columns))
    try:
        done = subprocess.run(
            [python, "-c", _HEAD + peer.program, str(repeats)],
            input=data.getvalue(),
            capture_output=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        seconds = np.array(done.stdout.split(), dtype=np.float64).reshape(-1, 3)
        wall_s, _, prepared_s = np.median(seconds, axis=0).tolist()
        return Speed(count / wall_s, count / float(seconds[:, 1].min()), count / prepared_s)
    except (subprocess.SubprocessError, ValueError):
        return None
