r"""A strategy of one's own: buys after three higher closes in a row, sells after two lower ones.

    ringline backtest --history \
      --set 'trading.strategies={"streak": {"kind": "custom", "source": "examples/strategy.py:Streak"}}'
"""

from __future__ import annotations

from msgspec import Struct

from pipeline.messages import Candle
from pipeline.trading.strategies import FULL


class Seen(Struct, frozen=True):
    """All it remembers: the last close, and how many in a row were higher (below 0: lower)."""

    close: int = 0
    streak: int = 0


class Streak:
    """`up` and `down` come from the strategy's `parameters`."""

    memory = Seen

    def __init__(self, up: int = 3, down: int = 2) -> None:
        self._up, self._down = up, down

    def origin(self) -> Seen:
        return Seen()

    def step(self, seen: Seen, candle: Candle) -> tuple[Seen, int | None]:
        """Its memory after this candle, and the position it wants from now on (None: as it is)."""
        higher, lower = candle.close > seen.close > 0, candle.close < seen.close
        streak = max(seen.streak, 0) + 1 if higher else min(seen.streak, 0) - 1 if lower else 0
        intent = FULL if streak == self._up else 0 if streak == -self._down else None
        return Seen(candle.close, streak), intent
