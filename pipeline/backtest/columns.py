"""Columns of floats, as data frames and other libraries have them → a series of exact integers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline import limits
from pipeline.backtest.series import Column, Series
from pipeline.errors import UsageError
from pipeline.trading.instruments import Instrument

Floats = npt.NDArray[np.float64]

_OFF = 1e-6
"""A float stands for a whole number of units when it is this close to one, in proportion to the unit and to
its own size: a price such as 0.1 is none exactly."""


def from_floats(
    symbol: str,
    instrument: Instrument,
    time_us: Column,
    opened: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
) -> Series:
    """The series; every number must be a whole number of ticks, every bar possible and times rising.

    Raises UsageError naming the first row (from 0), its value and the rule.
    """
    scale, tick = instrument.price_scale, instrument.tick
    prices = [
        _counted(name, column, scale, tick)
        for name, column in (("open", opened), ("high", high), ("low", low), ("close", close))
    ]
    counted = _counted("volume", volume, instrument.quantity_scale, 1)
    for name, column in zip(("open", "high", "low", "close"), prices, strict=True):
        _refuse(column <= 0, name, column, "must be positive")
    first, top, bottom, last = prices
    possible = (bottom <= np.minimum(first, last)) & (top >= np.maximum(first, last))
    _refuse(~possible, "open, high, low, close", last, "open and close must be between low and high")
    _refuse(counted < 0, "volume", counted, "is negative; the least is 0")
    _refuse(np.diff(time_us, prepend=time_us[:1] - 1) <= 0, "time", time_us, "is not after the row before")
    return Series(symbol, time_us, first, top, bottom, last, counted)


def _counted(name: str, column: Floats, scale: int, tick: int) -> Column:
    units = column * (10.0**scale / tick)
    whole = np.rint(units)
    off = np.abs(units - whole) > _OFF * np.maximum(1.0, np.abs(units) * 1e-6)
    _refuse(~np.isfinite(column) | off, name, column, f"is no multiple of {tick} × 10^-{scale}")
    _refuse(
        np.abs(whole) * tick > limits.MAX_SCALED, name, column, f"is beyond {limits.MAX_SCALED} × 10^-{scale}"
    )
    counted: Column = whole.astype(np.int64)
    return counted if tick == 1 else counted * tick


def _refuse(wrong: npt.NDArray[np.bool_], name: str, column: npt.NDArray[np.generic], rule: str) -> None:
    if bool(wrong.any()):
        row = int(np.argmax(wrong))
        raise UsageError(f"row {row}: {name}: {column[row]} {rule}")
