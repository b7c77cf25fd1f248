"""`ringline bench backtest`: how fast the backtester is, beside what else is installed.

The work is that of every figure: `candles` one-minute candles, a 10/30 moving-average cross, one unit long or
flat, 1 bp commission, fills at the next open. Nothing is read from files or the network. A speed by the clock
is the median of the repeats, one by processor time their best.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import msgspec
import numpy as np
from msgspec import Struct

from pipeline.backtest.columns import from_floats
from pipeline.backtest.engine import Engine
from pipeline.backtest.native import rows_by
from pipeline.backtest.series import Series
from pipeline.backtest.synthetic import synthetic
from pipeline.bench.peers import PEERS, Speed, installed, measured
from pipeline.clock import NS_PER_MS
from pipeline.config import schema
from pipeline.figures import Result, at_least, at_most, shown
from pipeline.limits import KIB, MIB
from pipeline.machine import Machine, machine, versions
from pipeline.trading.instruments import Instruments

FAST_PER_S = 2_000_000.0
LIVE_PER_S = 150_000.0
PREPARED_PER_S = 900_000.0
FIRST_RESULT_S = 1.0
PEAK_MIB = 120.0
PEER_PER_S = 1_856_000.0
"""vectorbt 1.2.0 with vectorbt-rust, the fastest peer known, on a comparable machine (2 × Xeon 2.5 GHz)."""
PEER_PREPARED_PER_S = 835_000.0
"""The same with its data preparation."""
REFERENCE_PER_S = 1_048.0
"""What the reference's backtester reaches."""
_MOST_LIVE = 50_000
"""Candles of the live path, of which its rows say how many: a quarter second of them tells as much as
more."""


class Options(Struct, frozen=True, kw_only=True):
    """The flags of the bench; `peers` also runs what else is installed."""

    candles: int = 200_000
    seed: int = 1337
    repeats: int = 3
    symbol: str = "BTCUSDT"
    peers: bool = True
    peers_python: str = ""
    """The interpreter that has them; empty: our own."""


class PerSecond(Struct, frozen=True):
    min: float
    median: float
    p95: float


class _Own(Struct, frozen=True, kw_only=True):
    """What was measured of this backtester. Rates in candles a second, or a second of processor time."""

    digest: str
    per_second: PerSecond
    fast_cpu: float
    prepared: float
    prepared_cpu: float
    live_candles: int
    live: float
    live_cpu: float
    latency_ms: float
    first_s: float | None
    peak_rss_mb: float


class Bench(Struct, frozen=True, kw_only=True):
    """The shape that those who watch this figure read, and after it what every bench prints."""

    candles: int
    repeats: int
    seed: int
    candles_per_sec: PerSecond
    p95_stage_latency_ms: float | None
    peak_rss_mb: float | None
    symbol: str
    digest: str
    machine: Machine
    versions: dict[str, str]
    results: tuple[Result, ...]

    @property
    def met(self) -> bool:
        return all(result.met is not False for result in self.results)


def trading() -> schema.Trading:
    """The bench's configuration: no throttle, as peers have none."""
    strategy = schema.Strategy(kind="sma_cross", fast=10, slow=30, quantity="1")
    return schema.Trading(strategies={"sma": strategy}, throttles=())


def run(options: Options, say: Callable[[str], None]) -> Bench:
    """Measures everything; `say` is told what is under way."""
    own = _measured(options, say)
    peers, peer_versions = _peers(options, say) if options.peers else ({}, {})
    return Bench(
        candles=options.candles,
        repeats=options.repeats,
        seed=options.seed,
        candles_per_sec=own.per_second,
        p95_stage_latency_ms=own.latency_ms,
        peak_rss_mb=own.peak_rss_mb,
        symbol=options.symbol,
        digest=own.digest,
        machine=machine(),
        versions=versions() | peer_versions,
        results=(*_own_rows(own, peers), *_peer_rows(own, peers)),
    )


def _measured(options: Options, say: Callable[[str], None]) -> _Own:
    engine = Engine(trading(), schema.Exec())
    series = {options.symbol: synthetic(options.symbol, options.candles, options.seed)}
    say(f"fast path, {options.repeats} × {options.candles:,} candles after a warm-up, rows by {rows_by()}")
    digest = engine.run(series).digest
    spans = [_timed(lambda: engine.run(series)) for _ in range(options.repeats)]
    peak_rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB / MIB
    say("with data preparation")
    prepared, prepared_cpu = _prepared(engine, options)
    say("live path")
    part = {options.symbol: series[options.symbol].part(0, _MOST_LIVE)}
    engine.run(part, "live")
    live = [_timed(lambda: engine.run(part, "live")) for _ in range(options.repeats)]
    count = len(part[options.symbol])
    latency_ms = _p95_ms(engine, part[options.symbol])
    say("first result of a new process")
    speeds = [options.candles / span for span, _ in spans]
    return _Own(
        digest=digest,
        per_second=PerSecond(min(speeds), float(np.median(speeds)), float(np.percentile(speeds, 95))),
        fast_cpu=options.candles / min(cpu for _, cpu in spans),
        prepared=prepared,
        prepared_cpu=prepared_cpu,
        live_candles=count,
        live=float(np.median([count / span for span, _ in live])),
        live_cpu=count / min(cpu for _, cpu in live),
        latency_ms=latency_ms,
        first_s=first_result_s(options),
        peak_rss_mb=peak_rss_mb,
    )


def _own_rows(own: _Own, peers: Mapping[str, Speed]) -> list[Result]:
    """Against the best of the peers, or what one of them has published where none is installed."""
    best = max((speed.wall for speed in peers.values()), default=PEER_PER_S)
    best_cpu = max((speed.cpu for speed in peers.values()), default=PEER_PER_S)
    best_prepared = max((speed.prepared for speed in peers.values()), default=PEER_PREPARED_PER_S)
    peer, published = ("best installed peer", "") if peers else ("vectorbt-rust", " as published")
    against, against_prepared = f"{peer}{published}", f"{peer} with preparation{published}"
    live_against = f"reference backtester ({own.live_candles:,} candles)"
    live_target = f"target ({own.live_candles:,} candles)"
    return [
        at_least("backtest.fast", own.per_second.median, "candles/s", FAST_PER_S, against, best),
        at_least(
            "backtest.with_preparation", own.prepared, "candles/s", PREPARED_PER_S,
            against_prepared, best_prepared,
        ),
        at_least("backtest.live_path", own.live, "candles/s", LIVE_PER_S, live_against, REFERENCE_PER_S),
        at_most("backtest.first_result", own.first_s, "s", FIRST_RESULT_S, "target", FIRST_RESULT_S),
        at_most("backtest.peak_rss", own.peak_rss_mb, "MiB", PEAK_MIB, "target", PEAK_MIB),
        shown("backtest.stage_latency_p95", own.latency_ms, "ms", "target 50 ms", 50.0),
        shown("backtest.fast_cpu", own.fast_cpu, "candles/CPU s", against, best_cpu),
        shown("backtest.with_preparation_cpu", own.prepared_cpu, "candles/CPU s", "target", PREPARED_PER_S),
        shown("backtest.live_path_cpu", own.live_cpu, "candles/CPU s", live_target, LIVE_PER_S),
    ]  # fmt: skip


def _peer_rows(own: _Own, peers: Mapping[str, Speed]) -> list[Result]:
    """By processor time, by the clock, and with preparation."""
    cpu = [
        shown(f"peer.{name}.cpu", speed.cpu, "candles/CPU s", "backtest.fast_cpu", own.fast_cpu)
        for name, speed in peers.items()
    ]
    wall = [
        shown(f"peer.{name}", speed.wall, "candles/s", "backtest.fast", own.per_second.median)
        for name, speed in peers.items()
    ]
    prepared = [
        shown(
            f"peer.{name}.with_preparation", speed.prepared, "candles/s",
            "backtest.with_preparation", own.prepared,
        )
        for name, speed in peers.items()
    ]  # fmt: skip
    return [*cpu, *wall, *prepared]


def encode(bench: Bench) -> bytes:
    return msgspec.json.format(msgspec.json.encode(bench), indent=2) + b"\n"


def first_result_s(options: Options) -> float | None:
    """From the start of a process until it has made, run and digested its candles; None when it failed."""
    code = (
        "from pipeline.backtest.engine import Engine\n"
        "from pipeline.backtest.synthetic import synthetic\n"
        "from pipeline.config import schema\n"
        "strategy = schema.Strategy(kind='sma_cross', fast=10, slow=30, quantity='1')\n"
        "engine = Engine(schema.Trading(strategies={'sma': strategy}, throttles=()), schema.Exec())\n"
        f"print(engine.run({{'B': synthetic('B', {options.candles}, {options.seed})}}).digest)\n"
    )
    started = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        seconds = time.perf_counter() - started
    return seconds if line and child.returncode == 0 else None


def _prepared(engine: Engine, options: Options) -> tuple[float, float]:
    """Candles a second, and of processor time, from columns of floats, as a data frame has them, to the
    digest."""
    instrument = Instruments(engine.trading).of(options.symbol)
    made = synthetic(options.symbol, options.candles, options.seed)
    unit = 10.0**-instrument.price_scale
    opened, high, low, close = (
        np.asarray(column * unit, dtype=np.float64) for column in (made.open, made.high, made.low, made.close)
    )
    volume = np.asarray(made.volume * 10.0**-instrument.quantity_scale, dtype=np.float64)

    def prepare_and_run() -> None:
        series: Series = from_floats(
            options.symbol, instrument, made.time_us, opened, high, low, close, volume
        )
        engine.run({options.symbol: series})

    prepare_and_run()
    spans = [_timed(prepare_and_run) for _ in range(options.repeats)]
    return options.candles / float(np.median([span for span, _ in spans])), options.candles / min(
        cpu for _, cpu in spans
    )


def _p95_ms(engine: Engine, series: Series) -> float:
    """The 95th percentile of one candle's way through agent and exec."""
    agent, floor = engine.agent, engine.floor
    a, x = agent.origin(series.symbol), floor.origin(series.symbol)
    spans = []
    for key_seq, candle in enumerate(series.candles(), 1):
        started_ns = time.perf_counter_ns()
        a, decision = agent.step(a, candle, key_seq=key_seq, at_us=candle.time_us)
        x, _ = floor.step(x, candle, decision, key_seq=key_seq)
        spans.append(time.perf_counter_ns() - started_ns)
    return float(np.percentile(spans, 95)) / NS_PER_MS


def _peers(options: Options, say: Callable[[str], None]) -> tuple[dict[str, Speed], dict[str, str]]:
    """(speed, version) of each peer that is installed and runs."""
    python = options.peers_python or sys.executable
    found, there = {}, installed(python)
    for peer in PEERS:
        if peer.name not in there:
            say(f"{peer.name}: not installed")
            continue
        say(f"{peer.name} {there[peer.name]}, in a process of its own")
        speed = measured(peer, python, options.candles, options.seed, options.repeats)
        if speed is None:
            say(f"{peer.name}: failed")
        else:
            found[peer.name] = speed
    return found, {name: version for name, version in there.items() if name in found}


def _timed(action: Callable[[], object]) -> tuple[float, float]:
    """(seconds, seconds of processor time)."""
    started, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - started, time.process_time() - cpu
