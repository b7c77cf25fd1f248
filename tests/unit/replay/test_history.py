from __future__ import annotations

import hashlib
from decimal import Decimal
from fractions import Fraction
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.replay.history import adjusted, first, read_history

HISTORY = read_history()


def test_the_shipped_file_is_the_one_its_provenance_tells_of() -> None:
    folder = resources.files("pipeline.replay").joinpath("data")
    digest = hashlib.sha256(folder.joinpath("stocks.csv.gz").read_bytes()).hexdigest()
    assert digest in folder.joinpath("PROVENANCE.md").read_text(encoding="utf-8")


def test_there_are_12154_candles_of_five_symbols() -> None:
    counts = {symbol: len(candles) for symbol, candles in HISTORY.items()}
    assert counts == {"AAPL": 3270, "FB": 196, "GOOG": 2148, "IBM": 3270, "MSFT": 3270}
    assert sum(counts.values()) == 12_154


def test_every_symbol_is_in_the_order_of_its_dates_without_repeats() -> None:
    for symbol, candles in HISTORY.items():
        times = [candle.time for candle in candles]
        assert times == sorted(set(times))
        assert {candle.symbol for candle in candles} == {symbol}
        assert all(time.endswith("T21:00:00Z") for time in times)


def test_every_bar_is_sane() -> None:
    for candles in HISTORY.values():
        for candle in candles:
            opened, high, low, close = map(Decimal, (candle.open, candle.high, candle.low, candle.close))
            assert 0 < low <= min(opened, close) <= max(opened, close) <= high
            assert int(candle.volume) > 0
            assert all(len(price.partition(".")[2]) == 4 for price in (candle.open, candle.close))


def test_a_split_is_not_a_crash() -> None:
    closes = {candle.time[:10]: Decimal(candle.close) for candle in HISTORY["AAPL"]}
    before, after = closes["2005-02-25"], closes["2005-02-28"]  # 2:1 on that day
    assert abs(after / before - 1) < Decimal("0.05")


def test_prices_are_adjusted_exactly_and_rounded_half_to_even() -> None:
    candle = adjusted(["X", "2001-01-02", "10", "20", "5", "10", "7", "0.00125"])
    assert (candle.open, candle.high, candle.low, candle.close) == ("0.0012", "0.0025", "0.0006", "0.0012")
    assert candle.volume == "7"


@settings(max_examples=200)
@given(
    st.decimals("0.01", "999", places=2),
    st.decimals("0.01", "999", places=2),
    st.decimals("0.5", "99", places=12),
)
def test_an_adjusted_price_is_the_nearest_fourth_decimal_to_the_true_quotient(
    price: Decimal, close: Decimal, adjusted_close: Decimal
) -> None:
    row = ["X", "2001-01-02", str(price), str(price), str(price), str(close), "1", str(adjusted_close)]
    true = Fraction(price) * Fraction(adjusted_close) / Fraction(close)
    assert abs(Fraction(adjusted(row).open) - true) <= Fraction(1, 20_000)


@pytest.mark.parametrize("limit", [1, 4, 5, 7, 500, 980, 981, 12_153, 12_154, 20_000])
def test_a_slice_takes_the_first_of_each_symbol_in_turn(limit: int) -> None:
    taken = first(HISTORY, limit)
    assert sum(map(len, taken.values())) == min(limit, 12_154)
    for symbol, candles in taken.items():
        assert candles == HISTORY[symbol][: len(candles)]
    lengths = [len(taken.get(symbol, ())) for symbol in HISTORY if symbol != "FB"]
    assert limit > 5 * 2148 or max(lengths) - min(lengths) <= 1


def test_without_a_limit_everything_is_taken() -> None:
    assert first(HISTORY, None) == HISTORY
