"""Moving-average crossover: long when the fast average of closes crosses above the slow one."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from pipeline.messages import Candle
from pipeline.trading.strategies.protocol import FULL


class SmaMemory(Struct, frozen=True, array_like=True, gc=False):
    """The last `slow` closes, oldest first, the sums of the averages, and which one was above last
    (1 the fast, −1 the slow, 0 not known yet)."""

    closes: tuple[int, ...] = ()
    fast_sum: int = 0
    slow_sum: int = 0
    above: int = 0


class SmaCross:
    """Averages are compared as fast_sum × slow against slow_sum × fast, exactly.

    Ties: equal averages are no cross and change nothing; a cross is the first strict inequality that
    contradicts the last one, so a touch is none. The first inequality after `slow` bars is none either:
    nothing was crossed. Crossing down means flat, or short where `short` is set.
    """

    __slots__ = ("_down", "_fast", "_slow", "tag")

    memory = SmaMemory
    vetted: ClassVar[bool] = True

    def __init__(self, fast: int, slow: int, *, short: bool = False) -> None:
        if not 0 < fast < slow:
            raise ValueError(f"sma_cross: fast = {fast} must be positive and below slow = {slow}")
        self._fast = fast
        self._slow = slow
        self._down = -FULL if short else 0
        self.tag = f"sma_cross({fast},{slow},{int(short)})"

    @property
    def fast(self) -> int:
        return self._fast

    @property
    def slow(self) -> int:
        return self._slow

    @property
    def down(self) -> int:
        """What it wants after crossing down."""
        return self._down

    def origin(self) -> SmaMemory:
        return SmaMemory()

    def step(self, memory: SmaMemory, candle: Candle) -> tuple[SmaMemory, int | None]:
        closes, fast, slow = memory.closes, self._fast, self._slow
        close, count, above = candle.close, len(memory.closes), memory.above
        fast_sum = memory.fast_sum + close - (closes[-fast] if count >= fast else 0)
        slow_sum = memory.slow_sum + close
        if count == slow:
            slow_sum -= closes[0]
            closes = closes[1:] + (close,)  # noqa: RUF005 - a third faster than unpacking
        else:
            closes = (*closes, close)
            if count + 1 < slow:
                return SmaMemory(closes, fast_sum, slow_sum, 0), None
        difference = fast_sum * slow - slow_sum * fast
        now_above = 1 if difference > 0 else -1 if difference < 0 else above
        intent = None
        if above and now_above != above:
            intent = FULL if now_above > 0 else self._down
        return SmaMemory(closes, fast_sum, slow_sum, now_above), intent
