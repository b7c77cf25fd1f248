"""The key in an Idempotency-Key, as the draft's string or bare."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stages.gateway.idempotency import key_of


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (b'"8e03978e-40d5"', b"8e03978e-40d5"),
        (b"8e03978e-40d5", b"8e03978e-40d5"),
        (b'  "a"\t', b"a"),
        (rb'"a\"b\\c"', rb'a"b\c'),
        (b"", b""),
        (b'""', b""),
        (b'"', b""),
        (b'"never closed', b""),
        (b'"a"b"', b""),
        (rb'"a\"', b""),
        (rb'"a\n"', b""),
    ],
)
def test_values(value: bytes, key: bytes) -> None:
    assert key_of(value) == key


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1))
def test_every_quoted_string_is_read_back(text: str) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert key_of(quoted.encode()) == text.encode()
