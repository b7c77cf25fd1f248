"""Channel breakout: long above the highest high of the bars before, out below their lowest low."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from pipeline.messages import Candle
from pipeline.trading.strategies.protocol import FULL


class BreakoutMemory(Struct, frozen=True, array_like=True, gc=False):
    """Highs and lows of the bars before, oldest first, as many as the channels look back; the side last
    wanted (1 long, −1 short, 0 none)."""

    highs: tuple[int, ...] = ()
    lows: tuple[int, ...] = ()
    side: int = 0


class Breakout:
    """A close above every high of the `lookback` bars before wants long; a close below every low of the
    `exit_lookback` bars before wants out. With `short`, the mirror image as well.

    Ties: a close equal to the channel's edge is no break. A channel is silent until it is full; the candle
    itself is never part of it. While long, each further break wants long again, so an entry that was
    refused is tried at the next new high.
    """

    __slots__ = ("_exit", "_high_bars", "_look", "_low_bars", "_short", "tag")

    memory = BreakoutMemory
    vetted: ClassVar[bool] = True

    def __init__(self, lookback: int, exit_lookback: int, *, short: bool = False) -> None:
        if lookback < 1 or exit_lookback < 1:
            raise ValueError(f"breakout: lookback = {lookback}, exit_lookback = {exit_lookback}; least 1")
        self._look = lookback
        self._exit = exit_lookback
        self._short = short
        self._high_bars = max(lookback, exit_lookback) if short else lookback
        self._low_bars = max(lookback, exit_lookback) if short else exit_lookback
        self.tag = f"breakout({lookback},{exit_lookback},{int(short)})"

    @property
    def lookback(self) -> int:
        return self._look

    @property
    def exit_lookback(self) -> int:
        return self._exit

    @property
    def short(self) -> bool:
        return self._short

    def origin(self) -> BreakoutMemory:
        return BreakoutMemory()

    def step(self, memory: BreakoutMemory, candle: Candle) -> tuple[BreakoutMemory, int | None]:
        highs, lows, side, close = memory.highs, memory.lows, memory.side, candle.close
        intent: int | None = None
        if _above(close, highs, self._look):
            intent, side = FULL, 1
        elif self._short and _below(close, lows, self._look):
            intent, side = -FULL, -1
        elif (side > 0 and _below(close, lows, self._exit)) or (
            side < 0 and _above(close, highs, self._exit)
        ):
            intent = side = 0
        highs = (*(highs[1:] if len(highs) == self._high_bars else highs), candle.high)
        lows = (*(lows[1:] if len(lows) == self._low_bars else lows), candle.low)
        return BreakoutMemory(highs, lows, side), intent


def _above(close: int, highs: tuple[int, ...], bars: int) -> bool:
    count = len(highs)
    return count >= bars and close > max(highs if count == bars else highs[-bars:])


def _below(close: int, lows: tuple[int, ...], bars: int) -> bool:
    count = len(lows)
    return count >= bars and close < min(lows if count == bars else lows[-bars:])
