from __future__ import annotations

import tomllib
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.toml import to_toml
from pipeline.config import Config

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = st.one_of(
    TEXT, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_what_is_written_is_read_back(tree: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(tree)) == tree


def test_none_is_left_out_as_toml_has_no_null() -> None:
    assert tomllib.loads(to_toml({"a": None, "b": [{"c": None, "d": 1}]})) == {"b": [{"d": 1}]}


def test_the_default_configuration_has_its_sections() -> None:
    text = to_toml(msgspec.to_builtins(Config()))
    assert text.startswith('data_dir = "ringline-data"\n')
    assert "\n[trading.strategies.sma]\n" in text
    assert "None" not in text
