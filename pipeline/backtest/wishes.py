"""What each strategy wants over a whole series at once: the same intents as its steps, by numpy.

A kind with a vectorised form is computed in columns where every product fits 64 bits; any other strategy,
a user's own included, is stepped candle by candle. Which it was changes nothing but the speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from pipeline.backtest.series import Column, Series
from pipeline.trading.strategies import FULL, Breakout, MeanReversion, SmaCross, Strategy
from pipeline.trading.strategies.protocol import advance

_INT64 = 2**63


class Wishes(NamedTuple):
    """`rows` on which the strategy wants something (ascending) and `intents`, what; or the reason of the
    first step that failed, after which only the live path can tell."""

    rows: Column
    intents: Column
    fault: str = ""


def wishes(strategy: Strategy, series: Series) -> Wishes:
    """All intents of one strategy over `series`."""
    vectorised = _VECTORISED.get(type(strategy))
    if vectorised is not None:
        found = vectorised(strategy, series)
        if found is not None:
            return found
    return _stepped(strategy, series)


def _stepped(strategy: Strategy, series: Series) -> Wishes:
    rows: list[int] = []
    intents: list[int] = []
    memory = strategy.origin()
    for row, candle in enumerate(series.candles()):
        memory, intent, fault = advance(strategy, memory, candle)
        if fault:
            return Wishes(_column(rows), _column(intents), fault)
        if intent is not None:
            rows.append(row)
            intents.append(intent)
    return Wishes(_column(rows), _column(intents))


def _sma_cross(strategy: SmaCross, series: Series) -> Wishes | None:
    fast, slow, close = strategy.fast, strategy.slow, series.close
    if len(close) <= slow:
        return _nothing()
    if int(close.max()) * fast * slow >= _INT64:
        return None
    # A running sum may wrap round; the difference of two is exact all the same, as it fits itself.
    sums = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(close)))
    gap = (sums[slow:] - sums[slow - fast : -fast]) * slow
    gap -= (sums[slow:] - sums[:-slow]) * fast
    # Where both are equal the one that was above stays so.
    unequal = None if gap.all() else np.flatnonzero(gap)
    above = (gap if unequal is None else gap[unequal]) > 0
    turns = np.flatnonzero(above[1:] != above[:-1]) + 1
    crossed = turns if unequal is None else unequal[turns]
    intents = np.where(above[turns], FULL, strategy.down).astype(np.int64)
    return Wishes(crossed + (slow - 1), intents)


def _breakout(strategy: Breakout, series: Series) -> Wishes | None:
    look, leave, close = strategy.lookback, strategy.exit_lookback, series.close
    up = close > _before(series.high, look, np.maximum, _INT64 - 1)
    out = close < _before(series.low, leave, np.minimum, -1)
    down = up_out = np.zeros(len(close), dtype=np.bool_)
    if strategy.short:
        down = close < _before(series.low, look, np.minimum, -1)
        up_out = close > _before(series.high, leave, np.maximum, _INT64 - 1)
    return _sided(up, down, out, up_out)


def _mean_reversion(strategy: MeanReversion, series: Series) -> Wishes | None:
    bars, close = strategy.lookback, series.close
    count = len(close) - bars + 1
    if count <= 0:
        return _nothing()
    now = close[bars - 1 :]
    sums = np.zeros(count, dtype=np.int64)
    squares = np.zeros(count, dtype=np.int64)
    ratio, per = strategy.ratio
    furthest = int(close.max()) - int(close.min())
    if (bars * furthest) ** 2 * max(ratio, per) >= _INT64:
        return None
    for back in range(1, bars):
        away = close[bars - 1 - back : len(close) - back] - now
        sums += away
        squares += away * away
    # Both are taken from the last close: a deviation and a variance do not change when all prices shift.
    far = sums * sums * per > (bars * squares - sums * sums) * ratio
    shape = np.zeros(len(close), dtype=np.bool_)
    low, high, low_out, high_out = (shape.copy() for _ in range(4))
    low[bars - 1 :] = far & (sums > 0)
    low_out[bars - 1 :] = sums <= 0
    if strategy.short:
        high[bars - 1 :] = far & (sums < 0)
        high_out[bars - 1 :] = sums >= 0
    return _sided(low, high, low_out, high_out)


_VECTORISED: dict[type, Callable[..., Wishes | None]] = {
    SmaCross: _sma_cross,
    Breakout: _breakout,
    MeanReversion: _mean_reversion,
}


def _sided(up: object, down: object, out: object, up_out: object) -> Wishes:
    """Intents of a strategy that is on a side until told otherwise, from what each candle says.

    `up` wants long and `down` short whenever they hold; `out` ends a long and `up_out` a short one.
    """
    up, down, out, up_out = (np.asarray(flags) for flags in (up, down, out, up_out))
    rows = np.flatnonzero(up | down | out | up_out)
    wanted = list(_walked(rows, up, down, out, up_out))
    return Wishes(_column([row for row, _ in wanted]), _column([intent for _, intent in wanted]))


def _walked(rows: Column, *flags: object) -> Iterator[tuple[int, int]]:
    side = 0
    picked = (np.asarray(flag)[rows].tolist() for flag in flags)
    for row, up, down, out, up_out in zip(rows.tolist(), *picked, strict=True):
        if up:
            side = 1
            yield row, FULL
        elif down:
            side = -1
            yield row, -FULL
        elif (side > 0 and out) or (side < 0 and up_out):
            side = 0
            yield row, 0


def _before(values: Column, bars: int, pick: np.ufunc, missing: int) -> Column:
    """The `pick` of the `bars` values before each; `missing` where there are fewer."""
    found = np.full(len(values), missing, dtype=np.int64)
    if len(values) <= bars:
        return found
    # Windows of 1, 2, 4 … values, then two overlapping ones make any length.
    window, width = values, 1
    while 2 * width <= bars:
        window = pick(window[:-width], window[width:])
        width *= 2
    if width < bars:
        window = pick(window[: len(window) - (bars - width)], window[bars - width :])
    found[bars:] = window[:-1]
    return found


def _nothing() -> Wishes:
    return Wishes(_column([]), _column([]))


def _column(values: list[int]) -> Column:
    return np.array(values, dtype=np.int64)
