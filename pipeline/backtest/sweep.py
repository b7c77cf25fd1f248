"""A parameter sweep: every combination of values over the same candles, in several processes.

The order of the combinations is the order of the results, whichever process was faster.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from math import prod
from typing import Any

import msgspec
from msgspec import Struct

from pipeline import limits
from pipeline.backtest import equity
from pipeline.backtest.engine import Engine
from pipeline.backtest.report import exact_text, net_of, profit_lines
from pipeline.backtest.series import Series
from pipeline.config import Config, resolve
from pipeline.errors import ConfigError, UsageError
from pipeline.trading.instruments import Instruments

Axis = tuple[str, tuple[str, ...]]
"""A configuration key and the values it takes."""


class Run(Struct, frozen=True, kw_only=True):
    """One combination; `net` is exact text. `fault` says why it is impossible; then there are no figures."""

    values: dict[str, str]
    net: str = "0"
    trades: int = 0
    drawdown: float = 0.0
    sharpe: float | None = None
    exposure: float = 0.0
    denied: int = 0
    digest: str = ""
    fault: str = ""


def axis(text: str) -> Axis:
    """`trading.strategies.sma.fast=5,10,20` → the key and its values. Raises UsageError."""
    key, equals, values = text.partition("=")
    found = tuple(value.strip() for value in values.split(",") if value.strip())
    if not equals or not key.strip() or not found:
        raise UsageError(f"--sweep {text!r}: expected KEY=VALUE,VALUE such as strategies.sma.fast=5,10,20")
    if len(set(found)) != len(found):
        raise UsageError(f"--sweep {text!r}: a value is given twice")
    key = key.strip()
    top = key.partition(".")[0]
    return key if top in Config.__struct_fields__ else f"trading.{key}", found


def sweep(
    config: Config,
    axes: Sequence[Axis],
    series: Mapping[str, Series],
    *,
    jobs: int,
    capital: float | None = None,
    progress: Callable[[int], None] | None = None,
    begin: Callable[[], object] = int,
) -> Iterator[Run]:
    """Every combination in order, once those before it are done; `begin` is called first in each process.

    Raises UsageError for too many.
    """
    names = [name for name, _ in axes]
    if len(set(names)) != len(names):
        raise UsageError("--sweep: a key is given twice; list its values with commas")
    count = prod(len(axis[1]) for axis in axes)
    if count > limits.MAX_SWEEP_RUNS:
        raise UsageError(f"--sweep: {count} combinations; the limit is {limits.MAX_SWEEP_RUNS}")
    combinations = [dict(zip(names, values, strict=True)) for values in product(*(axis[1] for axis in axes))]
    tree = msgspec.to_builtins(config)
    if jobs <= 1:
        _prepare(tree, dict(series), capital)
        yield from _told(map(_one, combinations), progress)
        return
    with ProcessPoolExecutor(
        min(jobs, len(combinations)),
        # Not forked: a child would begin with whatever threads and locks this process holds.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare,
        initargs=(tree, dict(series), capital, begin),
    ) as pool:
        yield from _told(pool.map(_one, combinations), progress)


def _told(runs: Iterator[Run], progress: Callable[[int], None] | None) -> Iterator[Run]:
    for run in runs:
        if progress is not None:
            progress(1)
        yield run


_shared: dict[str, Any] = {}


def _prepare(
    tree: dict[str, Any],
    series: dict[str, Series],
    capital: float | None,
    begin: Callable[[], object] = int,
) -> None:
    begin()
    _shared.update(tree=tree, series=series, capital=capital)


def _one(values: dict[str, str]) -> Run:
    series: dict[str, Series] = _shared["series"]
    try:
        config = resolve(_with(_shared["tree"], values))
        engine = Engine(config.trading, config.exec)
    except ConfigError as error:
        return Run(values=values, fault="; ".join(error.faults))
    outcome = engine.run(series)
    instruments = Instruments(config.trading)
    lines = profit_lines(series, outcome, instruments)
    curves = [
        curve
        for symbol, record in outcome.records.items()
        for curve in equity.line_curves(series[symbol], record, instruments.of(symbol).money_scale)
    ]
    capital = _shared["capital"]
    if capital is None:
        capital = equity.largest_held(curves)
    times, net = equity.summed(curves)
    return Run(
        values=values,
        net=exact_text(net_of(lines)),
        trades=sum(line.trades for line in lines),
        drawdown=equity.drawdown(net, capital)[0],
        sharpe=equity.sharpe(times, net, capital)[0],
        exposure=equity.exposure(curves, series),
        denied=sum(record.denied for record in outcome.records.values()),
        digest=outcome.digest,
    )


def _with(tree: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    """A copy of `tree` with `values` at their dotted keys. Raises ConfigError for a key that is not there."""
    copy: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(tree))
    for key, value in values.items():
        *path, last = key.split(".")
        place: Any = copy
        for word in path:
            place = place.get(word) if isinstance(place, dict) else None
        if not isinstance(place, dict) or last not in place:
            raise ConfigError([f"{key}: no such key"])
        place[last] = value
    return copy
