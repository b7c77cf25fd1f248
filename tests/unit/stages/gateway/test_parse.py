"""Bodies: what is malformed, what is invalid, and that nothing else ever happens."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidEventError
from pipeline.messages import Candle, Control, Signal, decode_event
from pipeline.stages.gateway.fake import EasyInstruments
from pipeline.stages.gateway.parse import MalformedEventError, Parsed, Parser, key_of

parse = Parser(EasyInstruments()).parse
PRICES = '"time":"2010-01-04T16:00:00-05:00","open":"1","high":"2","low":"0.5","close":"1.5"'
CANDLE = '{"type":"candle","symbol":"AAPL",' + PRICES + "}"


def malformed(body: bytes | str) -> str:
    with pytest.raises(MalformedEventError) as caught:
        parse(body if isinstance(body, bytes) else body.encode())
    return str(caught.value)


def invalid(body: str) -> InvalidEventError:
    with pytest.raises(InvalidEventError) as caught:
        parse(body.encode())
    assert not isinstance(caught.value, MalformedEventError)
    return caught.value


def test_a_candle_is_taken_inside_under_its_symbol() -> None:
    parsed = parse(CANDLE.encode())
    assert parsed.key == "AAPL"
    assert parsed.births is None
    assert decode_event(parsed.payload) == Candle("AAPL", 0, 10_000, 20_000, 5_000, 15_000, 0)


def test_a_signal_is_taken_inside_under_its_symbol() -> None:
    parsed = parse(b'{"type":"signal","symbol":"X","side":"buy","quantity":"2"}')
    assert parsed.key == "X"
    assert decode_event(parsed.payload) == Signal("X", "signal", 1, 20_000, 0)


@pytest.mark.parametrize("action", ["halt", "flatten"])
def test_a_control_has_no_key_and_new_keys_begin_under_it(action: str) -> None:
    parsed = parse(b'{"type":"control","action":"%s"}' % action.encode())
    assert parsed == Parsed(None, parsed.payload, {"trading": parsed.payload})
    assert decode_event(parsed.payload) == Control(action, "")


def test_after_a_resume_new_keys_begin_under_nothing() -> None:
    assert parse(b'{"type":"control","action":"resume"}').births == {"trading": b""}


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "body: input data was truncated"),
        (b"nonsense", "body: JSON is malformed"),
        (b"\xff", "body: not UTF-8 at byte 0"),
        (b'{"type":"control","action":"halt","reason":"\xff"}', "body: not UTF-8 at byte 44"),
        (b"\xef\xbb\xbf{}", "body: JSON is malformed"),
        ('{"type":"candle","symbol":"A","open":NaN}', "JSON is malformed"),
        ('{"type":"candle","symbol":"A","open":-Infinity}', "JSON is malformed"),
        ('{"type":"candle","symbol":"A","open":1e999}', "out of range"),
        (CANDLE + "x", "trailing characters"),
        (CANDLE[:-1], "truncated"),
        ('{"type":"control","action":"halt","reason":"\\ud800"}', "body: "),
        ('{"type":"control","action":"halt","reason":"\n"}', "invalid character"),
        ('{"type":"candle","symbol":5,' + PRICES, "truncated"),
    ],
)
def test_what_is_not_json_is_malformed(body: bytes | str, fault: str) -> None:
    assert fault in malformed(body)


@pytest.mark.parametrize(
    "body",
    [
        CANDLE[:-1] + ',"symbol":"MSFT"}',
        CANDLE[:-1] + ',"s\\u0079mbol":"MSFT"}',
        '{"type":"candle","type":"candle"}',
        '{"type":"candle","symbol":{"a":1,"a":2}}',
    ],
)
def test_a_key_given_twice_is_malformed_however_it_is_spelt(body: str) -> None:
    assert "is given twice" in malformed(body)


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"a":' * 50_000,
        "[" * 100_000 + "]" * 100_000,
        "[" * 9 + "]" * 9,
        '{"type":' + "[" * 5000,
    ],
)
def test_deep_nesting_is_malformed(body: str) -> None:
    assert "nested deeper than 8 levels" in malformed(body)


@pytest.mark.parametrize(
    ("body", "field", "fault"),
    [
        ("[]", "event", "expected `object`, got `array`"),
        ("null", "event", "expected `object`, got `null`"),
        ("[[[[[[[[]]]]]]]]", "event", "expected `object`"),
        ("{}", "type", "missing required field `type`; allowed: candle, signal, control"),
        ('{"type":"order"}', "type", 'allowed: candle, signal, control; was "order"'),
        ('{"type":"candle"}', "symbol", "missing required field"),
        ('{"type":"candle","symbol":5}', "symbol", "expected `str`, got `int`; was"),
        ('{"type":"candle","symbol":""}', "symbol", "length >= 1"),
        ('{"type":"candle","symbol":"' + "A" * 33 + '"}', "symbol", "length <= 32"),
        ('{"type":"candle","symbol":"A B"}', "symbol", 'regex .*; was "A B"'),
        ('{"type":"candle","symbol":"A","open":1.5}', "open", "expected `str`, got `float`; was"),
        ('{"type":"candle","symbol":"A","open":"1e5"}', "open", 'regex .*; was "1e5"'),
        ('{"type":"candle","symbol":"A","colour":"red"}', "colour", "unknown field"),
        ('{"type":"signal","symbol":"A","side":"hold"}', "side", r"regex '\^\(buy\|sell\|close\)"),
        ('{"type":"control","action":"explode"}', "action", "invalid enum value 'explode'"),
        ('{"type":"control","action":"halt","reason":"' + "x" * 257 + '"}', "reason", "length <= 256"),
    ],
)
def test_json_that_is_no_event_is_invalid_by_field_limit_and_value(body: str, field: str, fault: str) -> None:
    error = invalid(body)
    assert error.field == field
    with pytest.raises(InvalidEventError, match=fault):
        raise error


def test_a_long_value_is_shown_in_part() -> None:
    assert len(str(invalid('{"type":"candle","symbol":"' + "A" * 100_000 + '"}'))) < 200


def test_what_the_instruments_refuse_is_invalid() -> None:
    class Strict:
        def inside(self, event_in: object) -> Candle:
            raise InvalidEventError("open", "'1' is not a multiple of the tick 0.3")

    with pytest.raises(InvalidEventError, match="open: '1' is not a multiple"):
        Parser(Strict()).parse(CANDLE.encode())


def test_the_key_of_an_accepted_body_needs_no_instruments() -> None:
    assert key_of(CANDLE.encode()) == "AAPL"
    assert key_of(b'{"type":"control","action":"halt"}') is None
    assert key_of(b"not an event of this version") is None


def outcome(body: bytes) -> str:
    try:
        parse(body)
    except MalformedEventError:
        return "malformed"
    except InvalidEventError:
        return "invalid"
    return "accepted"


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_arbitrary_bytes_are_never_accepted_and_never_crash(body: bytes) -> None:
    assert outcome(body) != "accepted"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_any_json_that_is_no_event_is_invalid(value: object) -> None:
    assert outcome(json.dumps(value).encode()) == "invalid"


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["candle", "signal", "control"])},
        optional=dict.fromkeys(["symbol", "side", "action", "open", "time", "reason"], json_values),
    )
)
def test_any_members_of_an_event_are_taken_or_refused(members: dict[str, object]) -> None:
    assert outcome(json.dumps(members).encode()) in {"accepted", "invalid", "malformed"}


@given(st.integers(0, len(CANDLE) - 1), st.integers(0, 255))
def test_a_candle_with_any_byte_changed_never_crashes(position: int, byte: int) -> None:
    changed = bytearray(CANDLE.encode())
    changed[position] = byte
    assert outcome(bytes(changed)) in {"accepted", "invalid", "malformed"}


MEMBERS = {
    "type": "candle", "symbol": "AAPL", "time": "2010-01-04T16:00:00-05:00", "open": "1", "high": "2",
    "low": "0.5", "close": "1.5",
}  # fmt: skip
VOLUMES = st.lists(st.sampled_from(['"volume":"0"', '"volume":"7"', '"volume":"volume"']), max_size=2)
AGAIN = st.lists(st.sampled_from([f'"{name}":"{value}"' for name, value in MEMBERS.items()]), max_size=2)
ESCAPED = st.sampled_from(["", "open", "symbol", "close"])


GAPS = st.sampled_from(["", " ", "\t\n"])


@given(volumes=VOLUMES, again=AGAIN, escaped=ESCAPED, order=st.randoms(), gap=GAPS)
def test_a_candle_with_a_key_given_twice_is_never_taken(
    volumes: list[str], again: list[str], escaped: str, order: Random, gap: str
) -> None:
    members = [f'"{name}":"{value}"' for name, value in MEMBERS.items()] + volumes + again
    order.shuffle(members)
    if escaped:  # a name may be written with an escape, and is the same name
        spelled = f'"\\u{ord(escaped[0]):04x}{escaped[1:]}"'
        members = [each.replace(f'"{escaped}"', spelled) for each in members]
    body = ("{" + gap + f"{gap},{gap}".join(members) + gap + "}").encode()
    names = [json.loads("{" + each + "}").popitem()[0] for each in members]
    if '"volume":"volume"' in members:
        with pytest.raises(InvalidEventError):
            parse(body)
    elif len(set(names)) < len(names):
        assert "is given twice" in malformed(body)
    else:
        assert parse(body).key == "AAPL"


@pytest.mark.parametrize("character", ["\x00", "\n", "\x1f"])
def test_a_control_character_in_a_candle_is_malformed(character: str) -> None:
    malformed(CANDLE.replace("2010-01-04T", f"2010-01-04{character}"))
