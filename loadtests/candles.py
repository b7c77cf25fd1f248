"""Real market data as payloads: daily bars of five US stocks, sent as if they were bars of a minute.

A test of two hours needs more bars than there are days since 2000: so a series begins anew when it is
over, and a bar's time is the number of the bar in minutes. Prices and volumes are as they were.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources

import msgspec

from pipeline.messages import CandleIn, SignalIn

LEAST_BARS = 2000
"""Of a series: a short one would begin anew too often."""
START = datetime(2001, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode

Bar = tuple[str, str, str, str, str]
"""Open, high, low, close, volume."""


def read_series() -> dict[str, tuple[Bar, ...]]:
    """The long series by symbol, in the order of their dates."""
    packed = resources.files("pipeline.replay").joinpath("data", "stocks.csv.gz").read_bytes()
    found: dict[str, list[tuple[str, Bar]]] = {}
    with gzip.open(io.BytesIO(packed), "rt", encoding="ascii", newline="") as text:
        rows = csv.reader(text)
        next(rows)
        for symbol, date, opened, high, low, close, volume, *_ in rows:
            found.setdefault(symbol, []).append((date, (opened, high, low, close, volume)))
    return {
        symbol: tuple(bar for _, bar in sorted(bars))
        for symbol, bars in sorted(found.items())
        if len(bars) >= LEAST_BARS
    }


class Feed:
    """One user's own symbol: its bars in order, and signals at the last close."""

    def __init__(self, series: Mapping[str, Sequence[Bar]], run: str, user: int) -> None:
        names = tuple(series)
        name = names[user % len(names)]
        self.symbol = f"{name}.{run}.{user:x}"
        self.strategy = f"lt-{user:x}"
        self._bars = series[name]
        self._next = 0
        self._long = False

    def candle(self) -> bytes:
        """The next bar as JSON."""
        opened, high, low, close, volume = self._bars[self._next % len(self._bars)]
        time = (START + timedelta(minutes=self._next)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._next += 1
        return _encode(
            CandleIn(
                symbol=self.symbol, time=time, open=opened, high=high, low=low, close=close, volume=volume
            )
        )

    def signal(self) -> bytes:
        """In and out in turn: a buy of ten at the last close, then its end."""
        self._long = not self._long
        close = self._bars[(self._next - 1) % len(self._bars)][3]
        side, quantity = ("buy", "10") if self._long else ("close", None)
        return _encode(
            SignalIn(symbol=self.symbol, side=side, strategy=self.strategy, quantity=quantity, price=close)
        )
