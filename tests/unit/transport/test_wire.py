from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.delivery import Delivery, Tail
from pipeline.errors import FrameError
from pipeline.transport import wire

NUMBER = st.integers(0, 2**62)
KEY = st.text(max_size=limits.MAX_SYMBOL_CHARS)
DELIVERY = st.builds(
    Delivery,
    KEY.filter(bool),
    NUMBER,
    st.binary(max_size=16),
    KEY,
    KEY,
    NUMBER,
    st.integers(0, 2),
    st.binary(max_size=99),
)
MESSAGE = st.one_of(
    st.builds(wire.Hello, KEY),
    st.builds(wire.Welcome, NUMBER, NUMBER, st.booleans(), st.none() | st.tuples(KEY, NUMBER)),
    st.builds(wire.Ping, NUMBER),
    st.builds(wire.Pong, NUMBER, NUMBER),
    st.builds(wire.Msg, NUMBER, DELIVERY),
    st.builds(wire.Ask, NUMBER, KEY),
    st.builds(wire.State, NUMBER, st.builds(Tail, KEY, NUMBER)),
    st.builds(wire.Done, NUMBER, NUMBER),
    st.builds(wire.Settled, NUMBER, KEY, NUMBER, NUMBER, st.binary(max_size=16)),
    st.builds(wire.Refused, NUMBER, KEY, NUMBER),
    st.builds(wire.Died, NUMBER, KEY, NUMBER, KEY, NUMBER),
    st.builds(wire.Goodbye, NUMBER),
    st.builds(wire.Reset, NUMBER),
)


@given(st.tuples(NUMBER, NUMBER), st.lists(MESSAGE, max_size=5))
def test_a_frame_comes_back_as_it_was(session: wire.Session, messages: list[wire.Message]) -> None:
    frame = wire.decode_frame(wire.encode_frame(session, messages))
    assert frame.session == session
    assert frame.messages == messages


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_frame_or_a_frame_error(data: bytes) -> None:
    try:
        wire.decode_frame(data)
    except FrameError as error:
        assert "no message of ours" in str(error)


@given(st.lists(MESSAGE, min_size=1, max_size=3), st.data())
def test_a_cut_frame_is_a_frame_error(messages: list[wire.Message], data: st.DataObject) -> None:
    whole = wire.encode_frame((1, 2), messages)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(FrameError):
        wire.decode_frame(whole[:cut])


def test_an_oversized_frame_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(FrameError, match=f"the limit is {limits.MAX_FRAME_BYTES}"):
        wire.decode_frame(bytes(limits.MAX_FRAME_BYTES + 1))


def test_a_field_that_a_later_version_appends_is_ignored() -> None:
    later = msgspec.msgpack.encode([[1, 2], [[3, 7, "new field"], [1, "agent-0", 2, "more"]]])
    assert wire.decode_frame(later).messages == [wire.Ping(7), wire.Hello("agent-0", 2)]


def test_a_field_that_an_earlier_version_lacks_has_its_default() -> None:
    earlier = msgspec.msgpack.encode([[1, 2], [[1, "agent-0"], [2, 5, 6, False]]])
    assert wire.decode_frame(earlier).messages == [
        wire.Hello("agent-0", 1),
        wire.Welcome(5, 6, False, None, 1),
    ]


def test_a_key_longer_than_any_symbol_is_no_message_of_ours() -> None:
    delivery = Delivery("K" * (limits.MAX_SYMBOL_CHARS + 1), 1, b"id", "s", "w", 0, 0, b"")
    with pytest.raises(FrameError, match="length <= 32"):
        wire.decode_frame(wire.encode_frame((1, 1), [wire.Msg(1, delivery)]))
