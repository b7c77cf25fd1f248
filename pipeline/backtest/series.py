"""One symbol's candles as columns of scaled 64-bit integers: what a backtest runs on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from pipeline.messages import Candle

Column = npt.NDArray[np.int64]


class Series:
    """Candles of `symbol` in their order; `time_us` is the bar's close. Columns have one length.

    Nothing is checked here: what comes from outside goes through `readers` or `columns`, and a series that
    breaks a rule of the trading core is rejected row by row, as it would be live.
    """

    __slots__ = ("close", "high", "low", "open", "symbol", "time_us", "volume")

    def __init__(
        self,
        symbol: str,
        time_us: Column,
        opened: Column,
        high: Column,
        low: Column,
        close: Column,
        volume: Column,
    ) -> None:
        self.symbol = symbol
        self.time_us = time_us
        self.open = opened
        self.high = high
        self.low = low
        self.close = close
        self.volume = volume

    def __len__(self) -> int:
        return len(self.close)

    @property
    def columns(self) -> tuple[Column, Column, Column, Column, Column, Column]:
        """In the order of a candle's numbers."""
        return self.time_us, self.open, self.high, self.low, self.close, self.volume

    def candles(self) -> Iterator[Candle]:
        """Each candle as the trading core has it; made in blocks, so that a long series stays small."""
        symbol = self.symbol
        for start in range(0, len(self), _BLOCK):
            lists = [column[start : start + _BLOCK].tolist() for column in self.columns]
            for time_us, opened, high, low, close, volume in zip(*lists, strict=True):
                yield Candle(symbol, time_us, opened, high, low, close, volume)

    def part(self, start: int, stop: int) -> Series:
        """The candles from `start` (inclusive) to `stop` (exclusive)."""
        return Series(self.symbol, *(column[start:stop] for column in self.columns))


_BLOCK = 8_192


def from_candles(candles: Sequence[Candle]) -> Series:
    """One symbol's candles as a series; at least one."""
    fields = ("time_us", "open", "high", "low", "close", "volume")
    columns = (np.array([getattr(candle, field) for candle in candles], dtype=np.int64) for field in fields)
    return Series(candles[0].symbol, *columns)


def by_symbol(candles: Iterable[Candle]) -> dict[str, Series]:
    """Candles of any symbols, those of one in their order, as one series a symbol, sorted by name."""
    found: dict[str, list[Candle]] = {}
    for candle in candles:
        found.setdefault(candle.symbol, []).append(candle)
    return {symbol: from_candles(found[symbol]) for symbol in sorted(found)}
