"""The kinds of text that appear at the edges: in posted JSON, in configuration, in paths and labels."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from pipeline import limits

DecimalText = Annotated[
    str, Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?(?!\n)$", max_length=limits.MAX_DECIMAL_CHARS)
]
"""An exact decimal number: no exponent, no infinity, no NaN, no thousands separators."""
SYMBOL_PATTERN = r"^[A-Za-z0-9._/:=^-]+(?!\n)$"
SymbolText = Annotated[str, Meta(pattern=SYMBOL_PATTERN, min_length=1, max_length=limits.MAX_SYMBOL_CHARS)]
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*(?!\n)$"
NameText = Annotated[str, Meta(pattern=NAME_PATTERN, min_length=1, max_length=limits.MAX_NAME_CHARS)]
"""A source, strategy or throttle: becomes a metric label, a path segment and a file name."""
