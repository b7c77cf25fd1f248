"""Equity over time, and the figures that are taken of it. Floats: for display, never for a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from pipeline import limits
from pipeline.backtest.record import Record
from pipeline.backtest.series import Column, Series

Curve = npt.NDArray[np.float64]

_YEAR_US = 365.25 * 86_400e6
_GRIDS_US = (86_400_000_000, 3_600_000_000, 60_000_000)
_LEAST_RETURNS = 30
"""The grid of returns is days, unless there are fewer of them than this: then hours, then minutes."""


class LineCurve(Struct, frozen=True):
    """One strategy in one symbol: its net profit and its position's notional at each of `time_us`, in money
    of the instrument, with the share of candles on which it held a position. `scaled` is the net in `units` a
    unit of money: whole numbers, unless the turnover is enormous."""

    strategy: str
    symbol: str
    time_us: Column
    net: Curve
    notional: Curve
    exposure: float
    scaled: npt.NDArray[Any]
    units: int


def line_curves(series: Series, record: Record, money_scale: int) -> list[LineCurve]:
    """A curve for each strategy that ever filled, sorted by its name."""
    by_strategy: dict[str, list[tuple[int, int, int, int]]] = {}
    for row, fill in record.fills:
        cash = -fill.side * fill.quantity * fill.price - fill.commission
        by_strategy.setdefault(fill.strategy, []).append((row, fill.side * fill.quantity, cash, 0))
    return [_curve(name, series, by_strategy[name], 10**money_scale) for name in sorted(by_strategy)]


def _curve(
    strategy: str, series: Series, moves: Sequence[tuple[int, int, int, int]], units: int
) -> LineCurve:
    position = np.zeros(len(series), dtype=np.int64)
    # Whole numbers as long as all of them fit.
    whole = sum(abs(move[2]) for move in moves) <= limits.MAX_EXPOSURE
    kind = np.int64 if whole else np.float64
    cash: npt.NDArray[Any] = np.zeros(len(series), dtype=kind)
    rows = np.array([move[0] for move in moves], dtype=np.int64)
    np.add.at(position, rows, np.array([move[1] for move in moves], dtype=np.int64))
    np.add.at(cash, rows, np.array([move[2] for move in moves], dtype=kind))
    position = np.cumsum(position)
    value = position.astype(kind) * series.close
    scaled = np.cumsum(cash) + value
    return LineCurve(
        strategy,
        series.symbol,
        series.time_us,
        # Divided, as ten's negative powers are no floats: an amount comes out as the float nearest to it.
        scaled / units,
        np.abs(value) / units,
        float(np.count_nonzero(position)) / len(series),
        scaled,
        units,
    )


def exposure(curves: Sequence[LineCurve], series: Mapping[str, Series]) -> float:
    """The share of all candles on whose symbol some strategy held a position."""
    candles, held = sum(map(len, series.values())), 0
    for symbol in series:
        mine = [curve.notional > 0 for curve in curves if curve.symbol == symbol]
        held += int(np.count_nonzero(np.logical_or.reduce(mine))) if mine else 0
    return held / candles if candles else 0.0


def largest_held(curves: Sequence[LineCurve]) -> float:
    """The largest notionals that each line ever held, added up."""
    return round(sum(float(curve.notional.max()) for curve in curves), limits.MAX_SCALE)


def summed(curves: Sequence[LineCurve]) -> tuple[Column, Curve]:
    """(times, net profit of all lines together at each)."""
    if not curves:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    times = curves[0].time_us
    if any(curve.time_us is not times for curve in curves):
        times = np.unique(np.concatenate([curve.time_us for curve in curves]))
    net = np.zeros(len(times))
    for curve in curves:
        if curve.time_us is times:
            net += curve.net
            continue
        last = np.searchsorted(curve.time_us, times, "right") - 1
        net += np.where(last >= 0, curve.net[np.maximum(last, 0)], 0.0)
    return times, net


def drawdown(net: Curve, capital: float) -> tuple[float, float | None]:
    """(the deepest fall from a peak of capital + net, to 8 decimals, the deepest in proportion to its peak);
    ≥ 0. The proportion is None without a capital."""
    if not len(net):
        return 0.0, None
    equity = capital + net
    peak = np.maximum(np.maximum.accumulate(equity), capital)
    fall = peak - equity
    share = float(np.max(fall / peak)) if capital > 0 else None
    return round(float(fall.max()), limits.MAX_SCALE), share


def falls(net: Curve, capital: float) -> Curve:
    """At each moment how far capital + net is below its peak, as a share of it; ≤ 0."""
    equity = capital + net
    peak = np.maximum(np.maximum.accumulate(equity), capital)
    found: Curve = (equity - peak) / peak
    return found


def sharpe(times: Column, net: Curve, capital: float) -> tuple[float | None, int]:
    """(annualised Sharpe ratio, number of returns it is of); None where it is not defined.

    W. F. Sharpe, "The Sharpe Ratio", The Journal of Portfolio Management 21 (1994), 49-58: the mean of the
    differential returns divided by their standard deviation (here that of the sample, n − 1), times √T to
    annualise T returns a year. The benchmark is cash without interest. Returns are of capital + net from one
    day to the next that has candles (hours or minutes where there are fewer than 30 days), and T is how many
    of them this very data has in a year.
    """
    if len(times) < 3 or capital <= 0:
        return None, 0
    for grid_us in _GRIDS_US:
        last = np.append(np.flatnonzero(np.diff(times // grid_us)), len(times) - 1)
        if len(last) > _LEAST_RETURNS:
            break
    equity = np.concatenate(([capital], capital + net[last]))
    if float(equity.min()) <= 0 or len(equity) < 3:
        return None, 0
    returns = np.diff(equity) / equity[:-1]
    spread = float(returns.std(ddof=1))
    years = float(times[-1] - times[0]) / _YEAR_US
    if spread <= 0 or years <= 0:
        return None, len(returns)
    return float(returns.mean()) / spread * sqrt(len(returns) / years), len(returns)
