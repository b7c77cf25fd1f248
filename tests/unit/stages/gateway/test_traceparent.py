"""Trace contexts by the W3C recommendation: what is one is kept, what is none is dropped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stages.gateway.traceparent import checked

GOOD = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_good_one_is_kept() -> None:
    assert checked(GOOD) == GOOD.decode()


def test_of_a_later_version_the_known_fields_are_kept() -> None:
    assert checked(b"cc" + GOOD[2:] + b"-more") == "cc" + GOOD[2:].decode()


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        GOOD[:-1],
        GOOD + b"-more",
        b"cc" + GOOD[2:] + b"more",
        b"ff" + GOOD[2:],
        GOOD.upper(),
        b"00-" + b"0" * 32 + GOOD[35:],
        GOOD[:36] + b"0" * 16 + b"-01",
        GOOD.replace(b"-", b"_"),
        GOOD.replace(b"4", b"g"),
        b" " + GOOD,
        GOOD + b" ",
    ],
)
def test_what_is_none_is_dropped(wrong: bytes) -> None:
    assert checked(wrong) == ""


@given(st.binary(max_size=80) | st.text("0123456789abcdef-", max_size=60).map(str.encode))
def test_nothing_else_ever_comes_out(value: bytes) -> None:
    found = checked(value)
    assert found == "" or (len(found) == 55 and value.startswith(found.encode()))
