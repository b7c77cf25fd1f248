from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.config.schema import Instrument, Trading
from pipeline.errors import ConfigError, InvalidEventError
from pipeline.messages import BUY, SELL, Action, Candle, CandleIn, Control, ControlIn, Signal, SignalIn
from pipeline.trading.instruments import Instruments, microseconds

TRADING = Trading(
    instruments={
        "default": Instrument(),
        "BTCUSDT": Instrument(price_scale=2, quantity_scale=8, tick="0.05", lot="0.001"),
    }
)
INSTRUMENTS = Instruments(TRADING)


def candle(**changed: str) -> CandleIn:
    fields = {
        "symbol": "AAPL",
        "time": "2013-03-01T16:00:00-05:00",
        "open": "123.45",
        "high": "125.1",
        "low": "122.01",
        "close": "124.5",
        "volume": "1234567",
    }
    return CandleIn(**(fields | changed))


def test_a_candle_comes_inside_as_exact_integers() -> None:
    assert INSTRUMENTS.inside(candle()) == Candle(
        "AAPL", 1_362_171_600_000_000, 1_234_500, 1_251_000, 1_220_100, 1_245_000, 12_345_670_000
    )


def test_a_signal_comes_inside_with_zero_for_what_it_leaves_out() -> None:
    assert INSTRUMENTS.inside(SignalIn("AAPL", "buy")) == Signal("AAPL", "signal", BUY, 0, 0)
    assert INSTRUMENTS.inside(SignalIn("AAPL", "close", "mine")) == Signal("AAPL", "mine", 0, 0, 0)
    assert INSTRUMENTS.inside(SignalIn("BTCUSDT", "sell", "mine", "0.002", "20000.05")) == Signal(
        "BTCUSDT", "mine", SELL, 200_000, 2_000_005
    )


def test_a_control_comes_inside_as_its_word() -> None:
    assert INSTRUMENTS.inside(ControlIn(Action.FLATTEN, "drill")) == Control("flatten", "drill")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"open": "0"}, "open: '0' must be positive"),
        ({"close": "-1"}, "close: '-1' must be positive"),
        ({"high": "1e9"}, "high: '1e9' is not a decimal number"),
        ({"volume": "-1"}, "volume: '-1' is negative"),
        ({"low": "126"}, "low: '126' is above high '125.1'"),
        ({"open": "121"}, "open: '121' is outside low '122.01' to high '125.1'"),
        ({"close": "125.2"}, "close: '125.2' is outside low '122.01' to high '125.1'"),
        ({"time": "2013-03-01T16:00:00"}, "time: .* has no offset"),
        ({"time": "1362171600"}, "time: '1362171600' is not an RFC 3339 time"),
        ({"time": "1969-12-31T23:59:59Z"}, "is not between 1970-01-01 and 2100-01-01"),
        ({"time": "2100-01-01T00:00:01Z"}, "is not between 1970-01-01 and 2100-01-01"),
        ({"time": "9999-12-31T23:59:59-01:00"}, "is not between 1970-01-01 and 2100-01-01"),
        ({"time": "0001-01-01T00:00:00+05:00"}, "is not between 1970-01-01 and 2100-01-01"),
        ({"symbol": "BTCUSDT"}, "low: '122.01' is not a multiple of the tick 0.05"),
    ],
)
def test_an_impossible_candle_is_refused_by_field_and_value(changed: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidEventError, match=message):
        INSTRUMENTS.inside(candle(**changed))


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (
            SignalIn("BTCUSDT", "buy", quantity="0.0015"),
            "quantity: '0.0015' is not a multiple of the lot 0.001",
        ),
        (SignalIn("AAPL", "buy", quantity="0"), "quantity: '0' must be positive"),
        (SignalIn("AAPL", "buy", price="0"), "price: '0' must be positive"),
        (SignalIn("BTCUSDT", "buy", price="1.01"), "price: '1.01' is not a multiple of the tick 0.05"),
        (SignalIn("AAPL", "short"), "side: 'short' is none of buy, sell, close"),
    ],
)
def test_an_impossible_signal_is_refused_by_field_and_value(signal: SignalIn, message: str) -> None:
    with pytest.raises(InvalidEventError, match=message):
        INSTRUMENTS.inside(signal)


def test_times_are_the_same_instant_whatever_their_offset() -> None:
    assert microseconds("time", "2013-03-01T16:00:00-05:00") == microseconds("time", "2013-03-01T21:00:00Z")
    assert microseconds("time", "1970-01-01T00:00:00Z") == 0
    assert microseconds("time", "2100-01-01T00:00:00Z") == limits.MAX_EVENT_TIME_US
    assert microseconds("time", "1970-01-01T00:00:00.000001Z") == 1


@given(st.text(max_size=40))
def test_arbitrary_text_is_a_time_or_refused_by_name(text: str) -> None:
    with suppress(InvalidEventError):
        assert 0 <= microseconds("time", text) <= limits.MAX_EVENT_TIME_US


def test_amounts_read_back_in_the_instruments_own_decimals() -> None:
    instrument = INSTRUMENTS.of("BTCUSDT")
    assert INSTRUMENTS.of("AAPL").price_text(1_234_500) == "123.45"
    assert instrument.price_text(2_000_005) == "20000.05"
    assert instrument.quantity_text(150_000_000) == "1.5"
    assert instrument.money_text(-12_345_000_000) == "-1.2345"
    assert INSTRUMENTS.named == ("BTCUSDT",)


def test_every_wrong_instrument_is_named_at_once() -> None:
    wrong = Trading(
        instruments={
            "A": Instrument(tick="0"),
            "B": Instrument(lot="0.00001"),
            "C": Instrument(tick="99999999999999999999"),
        }
    )
    with pytest.raises(ConfigError) as caught:
        Instruments(wrong)
    assert [fault.split(":")[0].split(" =")[0] for fault in caught.value.faults] == [
        "trading.instruments.A.tick",
        "trading.instruments.B.lot",
        "trading.instruments.C.tick",
        "trading.instruments.default",
    ]
