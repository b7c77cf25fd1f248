from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.errors import InvalidEventError
from pipeline.trading.decimals import configured, decimal_text, fraction, scaled

SCALES = st.integers(0, limits.MAX_SCALE)
VALUES = st.integers(-limits.MAX_SCALED, limits.MAX_SCALED)


@given(VALUES, SCALES)
def test_every_scaled_integer_survives_the_way_out_and_back(value: int, scale: int) -> None:
    assert scaled("price", decimal_text(value, scale), scale) == value


@given(VALUES, SCALES, st.integers(0, 3))
def test_text_means_what_decimal_says_it_means(value: int, scale: int, zeros: int) -> None:
    text = str(Decimal(value).scaleb(-scale).quantize(Decimal(1).scaleb(-scale)))
    if scale:
        text += "0" * zeros
    if "E" not in text:
        assert scaled("price", text, scale) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        ".",
        "1.",
        ".5",
        "--1",
        "1_0",
        " 1",
        "1 ",
        "1\n",
        "１",
        "1.²",
        "1e5",
        "nan",
        "inf",
        "+1",
        "1.1-2",
    ],
)
def test_what_is_no_plain_decimal_is_refused_by_field_and_value(text: str) -> None:
    with pytest.raises(InvalidEventError, match="is not a decimal number") as caught:
        scaled("close", text, 4)
    assert caught.value.field == "close"
    assert repr(text) in caught.value.detail


def test_a_decimal_too_many_is_refused_never_rounded() -> None:
    with pytest.raises(InvalidEventError, match=r"close: '1\.00011' has more than 4 decimals"):
        scaled("close", "1.00011", 4)
    assert scaled("close", "1.000100000", 4) == 10_001


def test_a_huge_number_is_refused_with_the_limit() -> None:
    with pytest.raises(InvalidEventError, match="beyond the limit of 100000000000 for 4 decimals"):
        scaled("close", "100000000000.0001", 4)
    assert scaled("close", "100000000000", 4) == limits.MAX_SCALED


def test_endless_text_is_refused_before_it_is_computed_with() -> None:
    with pytest.raises(InvalidEventError, match="has 5000 characters; the limit is 32"):
        scaled("close", "9" * 5000, 4)


def test_long_garbage_is_clipped_in_the_error() -> None:
    with pytest.raises(InvalidEventError) as caught:
        scaled("close", "x" * 10_000, 4)
    assert len(str(caught.value)) < 150


def test_amounts_read_without_needless_zeros() -> None:
    assert decimal_text(1_234_500, 4) == "123.45"
    assert decimal_text(-5, 4) == "-0.0005"
    assert decimal_text(120_000, 4) == "12"
    assert decimal_text(0, 4) == "0"
    assert decimal_text(-7, 0) == "-7"


def test_a_configured_limit_is_rounded_down() -> None:
    assert configured("0.00019", 4) == 1
    assert configured("1000", 8) == 100_000_000_000
    assert fraction("0.25") * 4 == 1
