"""Volatility target: always long, with less of it the more the price moves."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from typing import ClassVar

from msgspec import Struct

from pipeline.messages import Candle
from pipeline.trading.strategies.protocol import FULL

_PPM = 1_000_000
_MOST_PPM = 1_000 * _PPM
"""A bar that moves the price a thousandfold is counted as that: every sum then fits 64 bits."""


class VolatilityMemory(Struct, frozen=True, array_like=True, gc=False):
    """The last close, the last returns (parts per million, oldest first) and the size last wanted (−1: none
    yet)."""

    close: int = 0
    returns: tuple[int, ...] = ()
    size: int = -1


class VolatilityTarget:
    """Wants target / realised of its quantity, at most all of it: realised is the standard deviation of the
    last `lookback` returns of closes, `target` the one aimed at, both per bar.

    A return is rounded down to a part per million. The size changes only when it is off by at least
    `rebalance` (of the whole quantity), so that it does not trade on every bar.
    """

    __slots__ = ("_bars", "_per", "_step", "_target", "tag")

    memory = VolatilityMemory
    vetted: ClassVar[bool] = True

    def __init__(self, lookback: int, target: Fraction, rebalance: Fraction) -> None:
        if lookback < 2:
            raise ValueError(f"volatility_target: lookback = {lookback}; least 2")
        if not 0 < target <= 1:
            raise ValueError("volatility_target: target_bps must be above 0, at most 10000")
        if not 0 <= rebalance <= 1:
            raise ValueError("volatility_target: rebalance_percent must be 0 to 100")
        self._bars = lookback
        self._target, self._per = ((target * _PPM * FULL * lookback) ** 2).as_integer_ratio()
        self._step = max(1, -(-rebalance.numerator * FULL // rebalance.denominator))
        self.tag = f"volatility_target({lookback},{target},{rebalance})"

    def origin(self) -> VolatilityMemory:
        return VolatilityMemory()

    def step(self, memory: VolatilityMemory, candle: Candle) -> tuple[VolatilityMemory, int | None]:
        close, before = candle.close, memory.close
        if not before:
            return VolatilityMemory(close), None
        moved = min((close - before) * _PPM // before, _MOST_PPM)
        returns = (*memory.returns, moved)
        if len(returns) < self._bars:
            return VolatilityMemory(close, returns, memory.size), None
        size = self._size(returns)
        if memory.size >= 0 and abs(size - memory.size) < self._step:
            return VolatilityMemory(close, returns[1:], memory.size), None
        return VolatilityMemory(close, returns[1:], size), size

    def _size(self, returns: tuple[int, ...]) -> int:
        """The largest size, in parts of FULL, whose square × variance does not exceed the target's."""
        total = sum(returns)
        spread = self._bars * sum([moved * moved for moved in returns]) - total * total
        return min(isqrt(self._target // (self._per * spread)), FULL) if spread else FULL
