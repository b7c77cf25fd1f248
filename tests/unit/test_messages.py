"""Inner messages: one byte form each, read back the same, and still readable after a field is added."""

from __future__ import annotations

from enum import Enum

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from pipeline.messages import (
    Action,
    Candle,
    CandleIn,
    Control,
    ControlIn,
    Decision,
    EventIn,
    Fate,
    Fill,
    Fills,
    Leg,
    Outcome,
    Signal,
    SignalIn,
    Verdict,
    decode_decision,
    decode_event,
    decode_fills,
    encode,
)

WORD = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
EVENTS = st.one_of(
    st.builds(Candle, TEXT, WORD, WORD, WORD, WORD, WORD, WORD),
    st.builds(Signal, TEXT, TEXT, st.sampled_from([1, -1, 0]), WORD, WORD),
    st.builds(Control, TEXT, TEXT),
)
LEGS = st.builds(Leg, TEXT, WORD, WORD, WORD, WORD, st.lists(TEXT, max_size=3).map(tuple), WORD, TEXT)
DECISIONS = st.builds(
    Decision, st.lists(LEGS, max_size=3).map(tuple), TEXT, st.lists(TEXT, max_size=2).map(tuple)
)
FILL = st.builds(Fill, WORD, WORD, TEXT, WORD, WORD, WORD, WORD, WORD, WORD, TEXT)
FILLS = st.builds(Fills, st.lists(FILL, max_size=3).map(tuple), WORD)


@given(EVENTS)
def test_events_survive_their_bytes(event: Candle | Signal | Control) -> None:
    assert decode_event(encode(event)) == event
    assert type(decode_event(encode(event))) is type(event)


@given(DECISIONS)
def test_decisions_survive_their_bytes(decision: Decision) -> None:
    assert decode_decision(encode(decision)) == decision


@given(FILLS)
def test_fills_survive_their_bytes(fills: Fills) -> None:
    assert decode_fills(encode(fills)) == fills


@given(EVENTS, EVENTS)
def test_equal_messages_have_equal_bytes_and_others_have_others(left: Candle, right: Candle) -> None:
    assert (encode(left) == encode(right)) == (left == right and type(left) is type(right))


@given(st.binary(max_size=64))
def test_foreign_bytes_are_one_of_two_errors_and_nothing_else(data: bytes) -> None:
    for decode in (decode_event, decode_decision, decode_fills):
        try:
            decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue


class LaterLeg(Struct, frozen=True, array_like=True, gc=False):
    """`Leg` as a later version may have it: a field more."""

    strategy: str
    verdict: int
    side: int = 0
    quantity: int = 0
    price: int = 0
    reasons: tuple[str, ...] = ()
    retry_at_us: int = 0
    intent: str = ""
    note: str = "new"


class LaterDecision(Struct, frozen=True, array_like=True, gc=False):
    legs: tuple[LaterLeg, ...] = ()
    rejected: str = ""
    inputs: tuple[str, ...] = ()
    more: int = 7


@given(DECISIONS)
def test_neighbouring_versions_read_each_other(decision: Decision) -> None:
    newer = msgspec.msgpack.decode(encode(decision), type=LaterDecision)
    assert newer.more == 7
    assert decode_decision(msgspec.msgpack.encode(newer)) == decision


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{"type":"candle","symbol":"A","time":"t","open":"1","high":"2","low":"1","close":"2"}',
            CandleIn(symbol="A", time="t", open="1", high="2", low="1", close="2", volume="0"),
        ),
        ('{"type":"signal","symbol":"A","side":"buy"}', SignalIn(symbol="A", side="buy", strategy="signal")),
        ('{"type":"control","action":"halt"}', ControlIn(action=Action.HALT, reason="")),
    ],
)
def test_what_people_post_is_told_apart_by_its_type(text: str, expected: EventIn) -> None:
    assert msgspec.json.decode(text, type=EventIn) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"symbol":"A","side":"buy"}',
        '{"type":"order","symbol":"A"}',
        '{"type":"signal","symbol":"A","side":"hold"}',
        '{"type":"signal","symbol":"A","side":"buy\\n"}',
        '{"type":"signal","symbol":"A","side":"buy","price":1.5}',
        '{"type":"signal","symbol":"A","side":"buy","colour":"red"}',
        '{"type":"control","action":"explode"}',
        '{"type":"control","action":"halt","reason":"' + "x" * 257 + '"}',
    ],
)
def test_what_is_no_event_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=EventIn)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Outcome, ["filled", "placed", "rejected", "held", "expired", "dead_lettered"]),
        (Fate, [0, 1, 2]),
        (Verdict, [0, 1, 2, 3]),
        (Action, ["halt", "resume", "flatten"]),
    ],
)
def test_words_that_are_stored_keep_their_values_and_order(kind: type[Enum], values: list[object]) -> None:
    """They are in every row on disk, and telemetry counts outcomes by their place in the list."""
    assert [member.value for member in kind] == values
