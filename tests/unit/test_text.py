from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.text import DecimalText, NameText, SymbolText


def accepts(kind: Any, text: str) -> bool:
    try:
        msgspec.convert(text, kind)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize("text", ["0", "-1", "101.25", "00.10", "9" * 32])
def test_decimals_are_plain_digits(text: str) -> None:
    assert accepts(DecimalText, text)


@pytest.mark.parametrize(
    "text", ["", "+1", "1.", ".5", "1e5", "NaN", "Infinity", "1_000", "1,5", " 1", "1 ", "1\n", "٣", "9" * 33]
)
def test_everything_else_is_no_decimal(text: str) -> None:
    assert not accepts(DecimalText, text)


@given(st.text(max_size=40))
def test_what_is_accepted_as_a_decimal_is_exact_and_finite(text: str) -> None:
    if accepts(DecimalText, text):
        assert Decimal(text).is_finite()
        assert len(text) <= limits.MAX_DECIMAL_CHARS


@pytest.mark.parametrize("text", ["AAPL", "BRK.A", "BTC/USDT", "^GSPC", "EURUSD=X", "ES_F:CME", "a" * 32])
def test_symbols_as_exchanges_write_them(text: str) -> None:
    assert accepts(SymbolText, text)


@pytest.mark.parametrize("text", ["", "A B", "ÄAPL", "AAPL\n", "a" * 33, "A\0", "A'", 'A"', "A{"])
def test_a_symbol_never_breaks_a_label_or_a_line(text: str) -> None:
    assert not accepts(SymbolText, text)


@pytest.mark.parametrize("text", ["demo", "a", "0", "strategy-1.v2_x", "a" * 64])
def test_names_are_words(text: str) -> None:
    assert accepts(NameText, text)


@pytest.mark.parametrize("text", ["", ".hidden", "-x", "_x", "a/b", "..", "a b", "a\n", "a" * 65])
def test_a_name_is_never_a_path_or_an_option(text: str) -> None:
    assert not accepts(NameText, text)


@given(st.text(max_size=70))
def test_a_name_is_a_safe_file_name(text: str) -> None:
    if accepts(NameText, text):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text)
