"""What is kept of an event's checks: small, bounded, read across versions, never in a story's way."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.checks import ADDRESS, DERIVED, RATE, Checks, decode_checks, encode_checks, shortened

NAMES = st.text(max_size=limits.MAX_NAME_CHARS).map(shortened)
CHECKS = st.builds(
    Checks,
    profile=st.sampled_from(["standard", "github", "hmac", "tradingview"]),
    secret=NAMES,
    named_by=NAMES,
    body_bytes=st.integers(0, limits.MAX_BODY_BYTES),
    index=st.integers(-1, limits.MAX_BATCH_EVENTS - 1),
    gates=st.integers(0, 7),
    age_ms=st.none() | st.integers(-(2**40), 2**40),
)
USUAL = Checks("standard", "demo.whsec", "webhook-id", 143, -1, RATE, 312)
LARGEST_BYTES = 640
"""Two names of 64 characters of four bytes each, and some numbers."""


@given(CHECKS)
def test_checks_survive_their_bytes_and_are_bounded(checks: Checks) -> None:
    data = encode_checks(checks)
    assert decode_checks(data) == checks
    assert len(data) <= LARGEST_BYTES


def test_the_usual_ones_take_some_tens_of_bytes() -> None:
    assert len(encode_checks(USUAL)) == 39


def test_those_of_another_version_are_read() -> None:
    fields = msgspec.msgpack.decode(encode_checks(USUAL))
    assert decode_checks(msgspec.msgpack.encode([*fields, "a later field"])) == USUAL
    earlier = decode_checks(msgspec.msgpack.encode(fields[:4]))
    assert earlier == Checks("standard", "demo.whsec", "webhook-id", 143)


@given(st.binary(max_size=64))
def test_whatever_else_stands_there_is_no_checks_and_no_error(data: bytes) -> None:
    found = decode_checks(data)
    assert found is None or decode_checks(encode_checks(found)) == found


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", b"\x94\xa1\xff\xa0\xa0\x01"])
def test_nothing_and_garbage_are_not_recorded(data: bytes) -> None:
    assert decode_checks(data) is None


def test_a_name_that_is_no_text_is_kept_as_far_as_it_is() -> None:
    assert shortened("k\udcffy") == "k?y"
    assert shortened("x" * 100) == "x" * limits.MAX_NAME_CHARS
    assert decode_checks(encode_checks(Checks("tradingview", shortened("ключ"), DERIVED, 1, gates=ADDRESS)))
