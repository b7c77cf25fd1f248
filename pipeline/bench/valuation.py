"""`ringline bench valuation`: batches over HTTP, what the ensemble adds, the event loop's lag meanwhile."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from pipeline import valuation_limits
from pipeline.bench.idle_loop import IdleLoop
from pipeline.bench.paired import paired_cost
from pipeline.bench.valuation_calls import Phase, interleaved, nearest_rank
from pipeline.bench.valuation_server import (
    Client,
    Market,
    history_by_symbol,
    loop_lags_ms,
    running_valuation,
    teach,
)
from pipeline.bench.valuation_stress import LOOPS, REFERENCE_COST_PERCENT, REFERENCE_OFF, REFERENCE_ON
from pipeline.config import Config
from pipeline.config.schema import Trading
from pipeline.config.valuation import Valuation
from pipeline.figures import Bench, Result, at_most, shown
from pipeline.machine import machine, versions
from pipeline.messages import Candle
from pipeline.trading.instruments import Instruments
from pipeline.valuation.quotes import Mark, Pricing, Seen

WANTED_P95_MS = 3.0
WANTED_COST_PERCENT = 5.0
WANTED_LAG_MS = 5.0
HEALTH_CALLS = 200
MARKS = 2000


class Options(Struct, frozen=True, kw_only=True):
    calls: int = 500


class Figures(NamedTuple):
    off: Phase
    on: Phase
    lags_ms: list[float]
    idle_ms: list[float]
    """Lags of a loop that does nothing, on this machine at the same time."""
    bare_p95_ms: float
    """The same server, client and connection with an answer that costs nothing."""
    plain_mark_us: float
    mark_us: float
    """Processor time of a mark in this process, with the one model of the ensemble off and with all: models
    are asked when a mark comes, so a batch costs nothing of it."""


def run(config: Config, options: Options, say: Callable[[str], None]) -> Bench:
    """On a service of its own in a temporary folder. Raises MissingError."""
    folder = Path(tempfile.mkdtemp(prefix="ringline-bench-"))
    try:
        with running_valuation(config, folder, **LOOPS) as server:
            client = Client(server.port)
            market = Market(client, teach(client))
            bare = [_bare_ms(client) for _ in range(HEALTH_CALLS)]
            idle = IdleLoop(valuation_limits.VALUATION_PROBE_MS / 1000)
            since_ns = time.monotonic_ns()
            try:
                off, on = interleaved(server, client, market, options.calls, say)
                lags_ms = loop_lags_ms(server.rings, since_ns)
            finally:
                idle_ms = idle.stop()
            client.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures = Figures(off, on, lags_ms, idle_ms, nearest_rank(bare, 95), *_marks_us(config))
    return Bench(machine=machine(), versions=versions(), results=results(figures))


def results(figures: Figures) -> tuple[Result, ...]:
    """Everything as the one shape."""
    off, on, lags = figures.off, figures.on, figures.lags_ms
    reference = "the reference, {:g} ms"
    wall, cpu = paired_cost(off.calls_ms, on.calls_ms), paired_cost(off.cpu_ms, on.cpu_ms)
    cost = f"the reference, {REFERENCE_COST_PERCENT:g} %; with 95 % {{:.1f}} to {{:.1f}} %"
    bare = f"p95 of an empty answer, {figures.bare_p95_ms:.3g} ms"
    idle_p99 = nearest_rank(figures.idle_ms, 99) if figures.idle_ms else 1.0
    lag = f"p99 of a loop that does nothing, {idle_p99:.3g} ms"
    lag_p99 = nearest_rank(lags, 99) if lags else None
    return (
        at_most("batch p95, ensemble off", nearest_rank(off.calls_ms, 95), "ms", WANTED_P95_MS,
                reference.format(REFERENCE_OFF[2]), REFERENCE_OFF[2]),
        at_most("batch p95, ensemble on", nearest_rank(on.calls_ms, 95), "ms", WANTED_P95_MS,
                reference.format(REFERENCE_ON[2]), REFERENCE_ON[2]),
        shown("batch p50, ensemble off", nearest_rank(off.calls_ms, 50), "ms", bare, figures.bare_p95_ms),
        shown("batch p50, ensemble on", nearest_rank(on.calls_ms, 50), "ms", bare, figures.bare_p95_ms),
        at_most("cost of the ensemble, paired", wall.percent, "%", WANTED_COST_PERCENT,
                cost.format(wall.low, wall.high), REFERENCE_COST_PERCENT),
        shown("the same in processor time", cpu.percent, "%",
              cost.format(cpu.low, cpu.high), REFERENCE_COST_PERCENT),
        shown("processor time of a batch", sum(on.cpu_ms) / len(on.cpu_ms), "ms", "with the ensemble off",
              sum(off.cpu_ms) / len(off.cpu_ms)),
        shown("processor time of a mark, all models", figures.mark_us, "µs",
              f"with {figures.plain_mark_us:.3g} µs for the model of the ensemble off alone",
              figures.plain_mark_us),
        at_most("event loop lag p99", lag_p99, "ms", WANTED_LAG_MS, lag, idle_p99),
        shown("memory of the service", on.memory_mb, "MB", "psutil"),
    )  # fmt: skip


def _marks_us(config: Config) -> tuple[float, float]:
    every = config.valuation
    one = replace(every, models={every.model: every.models[every.model]})
    return _mark_us(one, config.trading), _mark_us(every, config.trading)


def _mark_us(valuation: Valuation, trading: Trading) -> float:
    instruments = Instruments(trading)
    ((symbol, history),) = history_by_symbol(1).items()
    bars = tuple(bar for bar in (instruments.inside(candle) for candle in history) if isinstance(bar, Candle))
    seen = Seen(symbol, Mark(bars[-1].close, bars[-1].time_us, bars[-1].time_us), bars)
    pricing, instrument = Pricing(valuation), instruments.of(symbol)
    started_ns = time.process_time_ns()
    for _ in range(MARKS):
        pricing.quote(seen, instrument)
    return (time.process_time_ns() - started_ns) / MARKS / 1e3


def _bare_ms(client: Client) -> float:
    started_ns = time.perf_counter_ns()
    client.ask("GET", "/healthz")
    return (time.perf_counter_ns() - started_ns) / 1e6
