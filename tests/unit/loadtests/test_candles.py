"""What users send is what the public schema takes, in the order that its keys need."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from loadtests.candles import LEAST_BARS, Feed, read_series
from loadtests.ids import user_number
from pipeline.limits import MAX_SYMBOL_CHARS
from pipeline.messages import CandleIn, EventIn, SignalIn

SERIES = read_series()
RUN = "0badcafe"


def test_the_series_are_long_and_sane() -> None:
    assert len(SERIES) >= 3
    for bars in SERIES.values():
        assert len(bars) >= LEAST_BARS
        for opened, high, low, close, volume in bars:
            assert Decimal(low) <= min(Decimal(opened), Decimal(close))
            assert max(Decimal(opened), Decimal(close)) <= Decimal(high)
            assert Decimal(volume) >= 0


def test_bars_go_on_in_time_when_a_series_begins_anew() -> None:
    feed = Feed(SERIES, RUN, 0)
    length = len(SERIES[next(iter(SERIES))])
    candles = [msgspec.json.decode(feed.candle(), type=CandleIn) for _ in range(length + 2)]
    times = [candle.time for candle in candles]
    assert times == sorted(set(times))
    assert (candles[length].open, candles[length].close) == (candles[0].open, candles[0].close)


def test_signals_go_in_and_out_at_the_last_close() -> None:
    feed = Feed(SERIES, RUN, 3)
    candle = msgspec.json.decode(feed.candle(), type=CandleIn)
    first, second = (msgspec.json.decode(feed.signal(), type=EventIn) for _ in range(2))
    assert isinstance(first, SignalIn)
    assert isinstance(second, SignalIn)
    assert (first.side, second.side) == ("buy", "close")
    assert first.price == candle.close
    assert first.symbol == candle.symbol


@pytest.mark.parametrize("user", [0, 1, user_number(1023, 2**22 - 1)])
def test_every_user_has_a_symbol_of_its_own_that_fits(user: int) -> None:
    symbol = Feed(SERIES, RUN, user).symbol
    assert len(symbol) <= MAX_SYMBOL_CHARS
    assert symbol != Feed(SERIES, RUN, user + 1).symbol
    assert symbol != Feed(SERIES, "0badcaff", user).symbol
