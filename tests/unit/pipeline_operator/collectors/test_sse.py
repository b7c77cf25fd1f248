"""Server-sent events, in whatever pieces they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_operator.collectors.sse import Sent, SseParser, StreamError

STREAM = (
    b": a comment\n\nevent: snapshot\ndata: {}\n\n"
    b"event: breach\r\ndata: 1\r\ndata: 2\r\n\r\ndata:x\n\nid: 5\n\n"
)
EXPECTED = [Sent("snapshot", b"{}"), Sent("breach", b"1\n2"), Sent("message", b"x")]


@given(st.lists(st.integers(1, 12), max_size=80))
def test_pieces_mean_nothing(sizes: list[int]) -> None:
    parser, rest, found = SseParser(), STREAM, []
    for size in sizes:
        found += parser.feed(rest[:size])
        rest = rest[size:]
    assert found + parser.feed(rest) == EXPECTED


@given(st.binary(max_size=2000))
def test_nothing_that_comes_breaks_it(data: bytes) -> None:
    for sent in SseParser().feed(data):
        assert isinstance(sent.data, bytes)


@pytest.mark.parametrize("piece", [b"x" * 100, b"data: " + b"x" * 80 + b"\n"])
def test_what_does_not_end_is_refused(piece: bytes) -> None:
    parser = SseParser(most_bytes=1000)

    def feed_on() -> None:
        for _ in range(100):
            parser.feed(piece)

    with pytest.raises(StreamError, match="more than 1000 bytes"):
        feed_on()
