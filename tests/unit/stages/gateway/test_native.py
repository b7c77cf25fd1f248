"""The reader of candles in C: whatever it recognises, Python makes the same bytes of."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.schema import Instrument, Trading
from pipeline.errors import InvalidEventError
from pipeline.stages.gateway import native
from pipeline.stages.gateway.parse import Parser
from pipeline.trading.instruments import Instruments

INSTRUMENTS = Instruments(
    Trading(
        instruments={
            "default": Instrument(),
            "BTC": Instrument(price_scale=8, quantity_scale=8, tick="0.00000001", lot="0.00000001"),
            "ES": Instrument(price_scale=2, quantity_scale=0, tick="0.25", lot="1"),
        }
    )
)
IN_PYTHON = Parser(INSTRUMENTS, None)
GOOD = {
    "type": "candle", "symbol": "AAPL", "time": "2024-05-01T16:00:00-04:00", "open": "10.00", "high": "11",
    "low": "9.0000", "close": "10.50", "volume": "1000",
}  # fmt: skip
needs_c = pytest.mark.skipif(native.read_candle is None, reason=native.why_python)


def in_c(body: bytes) -> tuple[str, bytes, int] | None:
    assert native.read_candle is not None
    return native.read_candle(body, INSTRUMENTS.counted, INSTRUMENTS.counted_default)


def agree(body: bytes) -> bool:
    """Whether C recognised it; what it recognised is what Python makes of it."""
    found = in_c(body)
    if found is None:
        return False
    parsed = IN_PYTHON.parse(body)
    assert found == (parsed.key, parsed.payload, parsed.time_us)
    return True


@needs_c
def test_a_usual_candle_is_recognised() -> None:
    assert agree(json.dumps(GOOD).encode())
    assert agree(json.dumps(GOOD, indent=2).encode())
    assert agree(json.dumps({k: v for k, v in GOOD.items() if k != "volume"}).encode())
    assert agree(json.dumps(dict(reversed(GOOD.items()))).encode())


DECIMALS = st.one_of(
    st.sampled_from(["0", "1", "10.00", "10.25", "10.250000000", "007", "1000000000000000", "99999999999.9999",
                     "-1", "-0", "1.", ".5", "1e3", "", "10.00001", "9" * 33, "10.\n", " 10", "１"]),
    st.decimals(0, 10**8, places=4).map(str),
    st.from_regex(r"-?[0-9]{0,18}\.?[0-9]{0,10}", fullmatch=True),
)  # fmt: skip
TIMES = st.one_of(
    st.sampled_from(["2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z",
                     "2100-01-01T00:00:00.000001Z", "1969-12-31T23:59:59Z", "1970-01-01T00:30:00+01:00",
                     "2024-05-01t16:00:00z", "2024-05-01 16:00:00Z", "2024-05-01T16:00:00", "2024-05-01T24:00:00Z",
                     "2024-05-01T16:00:60Z", "2024-05-01T16:00:00+24:00", "2024-05-01T16:00:00-00:00",
                     "2024-05-01T16:00:00.1234567Z", "2024-05-01T16:00:00.Z", "0000-01-01T00:00:00Z"]),
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
    st.tuples(st.datetimes(), st.integers(-23, 23), st.integers(0, 60)).map(
        lambda made: f"{made[0].isoformat()}{made[1]:+03d}:{made[2]:02d}"
    ),
)  # fmt: skip


@needs_c
@settings(max_examples=500)
@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["candle", "signal"]), "time": TIMES},
        optional={
            "symbol": st.sampled_from(["AAPL", "BTC", "ES", "A" * 32, "A" * 33, "", "A B", "Ä", "BRK.B", "^X=/:_-"]),
            **dict.fromkeys(("open", "high", "low", "close", "volume", "more"), DECIMALS),
        },
    )
)
def test_what_c_recognises_python_makes_the_same_of(members: dict[str, Any]) -> None:
    agree(json.dumps(GOOD | members).encode())
    agree(json.dumps(members, ensure_ascii=False).encode())


@needs_c
@settings(max_examples=300)
@given(time=TIMES)
def test_a_time_is_the_same_microsecond(time: str) -> None:
    agree(json.dumps(GOOD | {"time": time}).encode())


@needs_c
@given(price=st.decimals("0.01", 10**6, places=2).map(str), symbol=st.sampled_from(["AAPL", "BTC", "ES"]))
def test_a_price_is_the_same_number(price: str, symbol: str) -> None:
    flat = dict.fromkeys(("open", "high", "low", "close"), price)
    body = json.dumps(GOOD | flat | {"symbol": symbol}).encode()
    try:
        IN_PYTHON.parse(body)
    except InvalidEventError:
        assert in_c(body) is None
    else:
        assert agree(body)


@needs_c
@settings(max_examples=500)
@given(position=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.booleans())
def test_bytes_changed_or_cut_are_never_read_as_something_else(position: int, byte: int, cut: bool) -> None:
    body = bytearray(json.dumps(GOOD).encode())
    place = position % len(body)
    body[place] = byte
    agree(bytes(body[:place] if cut else body))


@needs_c
@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"candle","type":"candle"' + json.dumps(GOOD).encode()[17:],
        json.dumps(GOOD).encode() + b"{}",
        json.dumps([GOOD]).encode(),
        b"",
        b"{",
        b'{"',
        b'{"type"',
        b'{"type":',
    ],
)
def test_what_is_not_one_plain_candle_is_left_to_python(body: bytes) -> None:
    assert in_c(body) is None


@needs_c
def test_wrong_arguments_are_told() -> None:
    assert native.read_candle is not None
    with pytest.raises(TypeError):
        native.read_candle("text", {}, (4, 4, 1))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        native.read_candle(json.dumps(GOOD).encode(), {}, ("4", 4, 1))  # type: ignore[arg-type]


def test_python_can_be_chosen() -> None:
    reader, why = native.load("python")
    assert reader is None
    assert why == "RINGLINE_GATEWAY_PARSER=python"
    assert Parser(INSTRUMENTS, reader).parse(json.dumps(GOOD).encode()).key == "AAPL"
