"""Mean reversion: long when the close is far below its average, out when it is back."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar

from msgspec import Struct

from pipeline.config.check import MAX_DEVIATIONS
from pipeline.messages import Candle
from pipeline.trading.strategies.protocol import FULL


class ReversionMemory(Struct, frozen=True, array_like=True, gc=False):
    """The closes of the bars before, oldest first, their sum, and the side last wanted (1, −1, 0 none)."""

    closes: tuple[int, ...] = ()
    total: int = 0
    side: int = 0


class MeanReversion:
    """Far means more than `deviations` standard deviations of the last `lookback` closes, the candle's own
    included, from their mean: (n·c − Σ)² > k²·(n·Σc² − Σ²), which is exact in integers.

    Ties: exactly that far is not far; exactly at the mean is back. While it is far, each candle wants the
    position again, so an entry that was refused is tried on the next one. With `short`, the mirror image
    as well.
    """

    __slots__ = ("_bars", "_per", "_ratio", "_short", "tag")

    memory = ReversionMemory
    vetted: ClassVar[bool] = True

    def __init__(self, lookback: int, deviations: Fraction, *, short: bool = False) -> None:
        if lookback < 2:
            raise ValueError(f"mean_reversion: lookback = {lookback}; least 2")
        if not 0 < deviations <= MAX_DEVIATIONS:
            raise ValueError(f"mean_reversion: deviations = {deviations}; above 0, at most {MAX_DEVIATIONS}")
        self._bars = lookback
        self._ratio, self._per = (deviations**2).as_integer_ratio()
        self._short = short
        self.tag = f"mean_reversion({lookback},{deviations},{int(short)})"

    @property
    def lookback(self) -> int:
        return self._bars

    @property
    def short(self) -> bool:
        return self._short

    @property
    def ratio(self) -> tuple[int, int]:
        """`deviations`² as numerator and denominator."""
        return self._ratio, self._per

    def origin(self) -> ReversionMemory:
        return ReversionMemory()

    def step(self, memory: ReversionMemory, candle: Candle) -> tuple[ReversionMemory, int | None]:
        bars, close, side = self._bars, candle.close, memory.side
        closes = (*memory.closes, close)
        total = memory.total + close
        if len(closes) < bars:
            return ReversionMemory(closes, total, side), None
        away = bars * close - total
        spread = bars * sum([past * past for past in closes]) - total * total
        intent: int | None = None
        if away and away * away * self._per > spread * self._ratio and (away < 0 or self._short):
            side = 1 if away < 0 else -1
            intent = side * FULL
        elif (side > 0 and away >= 0) or (side < 0 and away <= 0):
            intent = side = 0
        return ReversionMemory(closes[1:], total - closes[0], side), intent
