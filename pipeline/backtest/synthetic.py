"""Made-up candles by the hundred thousand, the same on every machine and version: integers only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.backtest.series import Column, Series
from pipeline.clock import US_PER_S

START_US = 1_704_067_200_000_000
"""2024-01-01T00:00:00Z."""
MINUTE_US = 60 * US_PER_S

_FIRST_PRICE = 4_000_000
_LOWEST, _HIGHEST = 2_000_000, 12_000_000
"""The walk is folded back between these (scaled): a price never comes near 0 however long the series is."""
_STEP = 4_001
_WICK = 1_501
_LEAST_VOLUME, _MORE_VOLUME = 100_000, 1_000_000

Words = npt.NDArray[np.uint64]


def synthetic(symbol: str, count: int, seed: int) -> Series:
    """`count` one-minute candles: a random walk of the close, opens where the last bar closed or near.

    Draws are SplitMix64 (Steele, Lea, Flood 2014), which is a function of its counter and so of the index.
    """
    moves = _drawn(seed, 0, count, 2 * _STEP) - _STEP
    walk = np.cumsum(moves, dtype=np.int64) + _FIRST_PRICE
    close = _folded(walk)
    before = np.empty_like(close)
    before[:1] = _FIRST_PRICE
    before[1:] = close[:-1]
    opened = before + _drawn(seed, 1, count, 201) - 100
    high = np.maximum(opened, close) + _drawn(seed, 2, count, _WICK)
    low = np.minimum(opened, close) - _drawn(seed, 3, count, _WICK)
    volume = _LEAST_VOLUME + _drawn(seed, 4, count, _MORE_VOLUME)
    time_us = START_US + MINUTE_US * np.arange(1, count + 1, dtype=np.int64)
    return Series(symbol, time_us, opened, high, low, close, volume)


def _folded(walk: Column) -> Column:
    """Reflects the walk at both ends of its band."""
    span = _HIGHEST - _LOWEST
    turn = (walk - _LOWEST) % (2 * span)
    folded: Column = _LOWEST + np.minimum(turn, 2 * span - turn)
    return folded


def _drawn(seed: int, stream: int, count: int, below: int) -> Column:
    """`count` integers in 0 … below − 1; each stream of a seed is another sequence."""
    with np.errstate(over="ignore"):
        first = np.uint64((seed * 0xD1342543DE82EF95 + stream * 0x9E6C63D0876A9A47) & (2**64 - 1))
        state = first + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed % np.uint64(below)).astype(np.int64)
