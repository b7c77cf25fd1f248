"""Tables of a report as text in cells: the terminal, Markdown and HTML only set them."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from pipeline.limits import MIB


class Table(NamedTuple):
    """One table. The first `words` columns are words (left), the others figures (right). `note` explains."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    note: str = ""
    total: bool = False
    """The last row sums up those above it."""


# ---- cells ----------------------------------------------------------------------------------------------


def count(value: int) -> str:
    return f"{value:,}"


def rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def milliseconds(value: float | None) -> str:
    """Three significant digits, no exponent: 0.0123, 1.23, 123."""
    if value is None:
        return "–"
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def mebibytes(value: int) -> str:
    return f"{value / MIB:.1f}"


def money(text: str) -> str:
    return f"{Decimal(text):,.2f}"


def number(text: str) -> str:
    """A quantity without trailing zeros."""
    value = Decimal(text)
    return f"{value.normalize():,f}" if value else "0"
