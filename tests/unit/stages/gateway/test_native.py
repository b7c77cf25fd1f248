"""The readers in C: whatever they recognise, Python makes the same of."""

from __future__ import annotations

import json
from typing import Any

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.schema import Instrument, Trading
from pipeline.errors import InvalidEventError
from pipeline.stages.gateway.native import load, native
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
needs_c = pytest.mark.skipif(native.candle is None, reason=native.why_not)


def in_c(body: bytes) -> tuple[str, bytes, int] | None:
    assert native.candle is not None
    return native.candle(body, INSTRUMENTS.counted, INSTRUMENTS.counted_default)


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
    st.sampled_from(["0", "1", "10.00", "10.25", "10.250000000", "007", "1000000000000000",
                     "99999999999.9999",
                     "-1", "-0", "1.", ".5", "1e3", "", "10.00001", "9" * 33, "10.\n", " 10", "１"]),
    st.decimals(0, 10**8, places=4).map(str),
    st.from_regex(r"-?[0-9]{0,18}\.?[0-9]{0,10}", fullmatch=True),
)  # fmt: skip
TIMES = st.one_of(
    st.sampled_from(["2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "1970-01-01T00:00:00Z",
                     "2100-01-01T00:00:00Z",
                     "2100-01-01T00:00:00.000001Z", "1969-12-31T23:59:59Z", "1970-01-01T00:30:00+01:00",
                     "2024-05-01t16:00:00z", "2024-05-01 16:00:00Z", "2024-05-01T16:00:00",
                     "2024-05-01T24:00:00Z",
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
            "symbol": st.sampled_from(
                ["AAPL", "BTC", "ES", "A" * 32, "A" * 33, "", "A B", "Ä", "BRK.B", "^X=/:_-"]
            ),
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
    assert native.candle is not None
    with pytest.raises(TypeError):
        native.candle("text", {}, (4, 4, 1))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        native.candle(json.dumps(GOOD).encode(), {}, ("4", 4, 1))  # type: ignore[arg-type]


class Heard:
    """What httptools tells of bytes that are one whole request."""

    def __init__(self, data: bytes) -> None:
        self.url = self.body = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.usual = self.parser.should_keep_alive() and not self.parser.should_upgrade()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


def same_request(data: bytes) -> bool:
    """Whether C recognised it; what it recognised is what httptools tells."""
    assert native.request is not None
    found = native.request(data, 64)
    if found is None:
        return False
    heard = Heard(data)
    path, named, body = found
    assert heard.parser.get_method() == b"POST"
    assert heard.parser.get_http_version() == "1.1"
    assert (heard.url, heard.body, heard.complete, heard.usual) == (path, body, 1, True)
    assert dict(heard.headers) == named
    assert len(heard.headers) == len(named)
    assert not {b"transfer-encoding", b"content-encoding", b"expect", b"upgrade"} & named.keys()
    return True


REQUEST = (
    b"POST /webhook/demo HTTP/1.1\r\nHost: localhost\r\nContent-Type:application/json\r\n"
    b"Content-Length: 4\r\nWebhook-Id:  m 1 \r\nx-empty:\r\nConnection: Keep-Alive\r\n\r\nbody"
)


@needs_c
def test_a_whole_request_is_recognised() -> None:
    assert same_request(REQUEST)


@needs_c
@pytest.mark.parametrize(
    ("part", "instead"),
    [
        (b"POST", b"PUT"), (b"POST ", b"POST  "), (b"/webhook/demo", b"/webhook/demo?a=b"),
        (b"/webhook/demo", b"/webhook/%64emo"), (b"/webhook", b"http://x/webhook"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"Length: 4", b"Length: 3"), (b"Length: 4", b"Length: 5"), (b"Length: 4", b"Length: +4"),
        (b"Length: 4", b"Length: 4\r\nContent-Length: 4"), (b"Length: 4", b"Length: 0x4"),
        (b"Content-Length: 4\r\n", b""), (b"Host: ", b"Transfer-Encoding: "), (b"Host: ", b"Expect: "),
        (b"Host: ", b"Upgrade: "), (b"Host: ", b"Content-Encoding: "), (b"Keep-Alive", b"close"),
        (b"Keep-Alive", b"upgrade"), (b"Host:", b"Host :"), (b"Host:", b" Host:"),
        (b"localhost", b"local\thost"),
        (b"localhost", b"local\xffhost"), (b"localhost\r\n", b"localhost\n"), (b"localhost", b"local\rhost"),
        (b"localhost\r\n", b"localhost\r\n folded\r\n"), (b"localhost", b"local\0host"),
        (b"body", b"body\r\n"),
        (b"Host: localhost", b"x: y\r\n" * 64 + b"z: z"),
    ],
)  # fmt: skip
def test_an_unusual_request_is_left_to_the_parser(part: bytes, instead: bytes) -> None:
    assert native.request is not None
    assert native.request(bytearray(REQUEST), 64) is None  # type: ignore[arg-type]
    assert REQUEST.count(part) >= 1
    assert native.request(REQUEST.replace(part, instead, 1), 64) is None


@needs_c
@settings(max_examples=1000)
@given(
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 2), st.binary(max_size=3)), max_size=3),
    cut=st.integers(0, 10_000),
)
def test_a_request_with_bytes_changed_is_never_read_as_another(
    edits: list[tuple[int, int, bytes]], cut: int
) -> None:
    data = REQUEST
    for position, removed, added in edits:
        place = position % len(data)
        data = data[:place] + added + data[place + removed :]
    same_request(data)
    same_request(data[: cut % (len(data) + 1)])


@needs_c
@given(
    names=st.lists(st.from_regex(r"[A-Za-z-]{1,12}", fullmatch=True), max_size=6),
    values=st.lists(st.from_regex(r"[ -~\t]{0,12}", fullmatch=True), min_size=6, max_size=6),
    body=st.binary(max_size=40),
)
def test_any_headers_are_the_same(names: list[str], values: list[str], body: bytes) -> None:
    lines = "".join(f"{name}:{value}\r\n" for name, value in zip(names, values, strict=False))
    head = f"POST /a HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n"
    same_request(head.encode() + body)


def test_python_can_be_chosen() -> None:
    chosen = load("python")
    assert (chosen.candle, chosen.request) == (None, None)
    assert chosen.why_not == "RINGLINE_GATEWAY_PARSER=python"
    assert Parser(INSTRUMENTS, chosen.candle).parse(json.dumps(GOOD).encode()).key == "AAPL"
