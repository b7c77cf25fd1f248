"""Real market history: daily bars of five US stocks, 2000-2013, as shipped in `data/` (see PROVENANCE.md).

The source's prices are unadjusted, and a strategy would take a 2:1 split for a crash; so every price of a
bar is multiplied by its adjustment, `Adj Close / Close`, in exact arithmetic.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from importlib import resources

from pipeline.messages import CandleIn

DATA_FILE = "stocks.csv.gz"
SOURCE = "Quandl WIKI daily bars, public domain, split- and dividend-adjusted"
CLOSE_TIME = "T21:00:00Z"
"""16:00 in New York, in winter; a bar's time only orders the bars of its symbol."""

_QUANTUM = Decimal("0.0001")
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
"""Products of two prices are exact in 60 digits, so only the last step, to four decimals, rounds."""

History = Mapping[str, tuple[CandleIn, ...]]
"""Candles by symbol, each symbol's in the order of their dates."""


def read_history() -> dict[str, tuple[CandleIn, ...]]:
    """All 12,154 candles."""
    packed = resources.files("pipeline.replay").joinpath("data", DATA_FILE).read_bytes()
    with gzip.open(io.BytesIO(packed), "rt", encoding="ascii", newline="") as text:
        rows = csv.reader(text)
        next(rows)
        return parse(rows)


def parse(rows: Iterable[list[str]]) -> dict[str, tuple[CandleIn, ...]]:
    """Candles from rows of `Ticker,Date,Open,High,Low,Close,Volume,Adj Close`, symbols and dates sorted."""
    found: dict[str, list[CandleIn]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(adjusted(row))
    return {symbol: tuple(sorted(found[symbol], key=_time)) for symbol in sorted(found)}


def adjusted(row: list[str]) -> CandleIn:
    """One bar, adjusted. High and low are taken over all four rounded prices, so a bar stays sane."""
    symbol, date, opened, high, low, close, volume, adjusted_close = row
    factor = Decimal(adjusted_close)
    divisor = Decimal(close)
    prices = [_adjust(Decimal(text), factor, divisor) for text in (opened, high, low, close)]
    return CandleIn(
        symbol=symbol,
        time=date + CLOSE_TIME,
        open=str(prices[0]),
        high=str(max(prices)),
        low=str(min(prices)),
        close=str(prices[3]),
        volume=volume,
    )


def first(history: History, limit: int | None) -> dict[str, tuple[CandleIn, ...]]:
    """The first `limit` candles, taking one of each symbol in turn, so that a slice still has all symbols."""
    turns = sorted((turn, symbol) for symbol, candles in history.items() for turn in range(len(candles)))
    taken = Counter(symbol for _, symbol in turns[:limit])
    return {symbol: candles[: taken[symbol]] for symbol, candles in history.items() if taken[symbol]}


def _adjust(price: Decimal, adjusted_close: Decimal, close: Decimal) -> Decimal:
    return _EXACT.divide(_EXACT.multiply(price, adjusted_close), close).quantize(
        _QUANTUM, rounding=ROUND_HALF_EVEN
    )


def _time(candle: CandleIn) -> str:
    return candle.time
