"""Which number of `01/02/2024` is the month: one answer for a whole column, and none that is guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from pipeline.errors import InvalidEventError, UsageError

DateOrder = Literal["mdy", "dmy"]
ORDERS: tuple[DateOrder, ...] = get_args(DateOrder)
WORDS = {"mdy": "month first", "dmy": "day first"}

_SLASHED = re.compile(r"^\s*([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})(?![0-9/])")
_MONTH_FIRST_HEADINGS = ("close/last",)
"""Nasdaq's export, which has dates as `01/31/2024`."""


def is_slashed(text: str) -> bool:
    return "/" in text and _SLASHED.match(text) is not None


def as_iso(text: str, order: DateOrder) -> str:
    """`01/31/2024 16:00` → `2024-01-31 16:00`. Raises InvalidEventError for a month that is none."""
    found = _SLASHED.match(text)
    assert found is not None
    first, second, year = found.groups()
    month, day = (first, second) if order == "mdy" else (second, first)
    if not 1 <= int(month) <= 12:
        raise InvalidEventError(
            "time", f"{text.strip()[:32]!r}: {month} is no month; dates are {WORDS[order]}"
        )
    return f"{year}-{month:0>2}-{day:0>2}{text[found.end() :]}"


def order_of(names: Sequence[str], times: Iterable[tuple[int, str]]) -> tuple[DateOrder, str]:
    """The order in which every one of `times` (line, text) is a date, and how that is known.

    `names` are the headings. Raises UsageError where two lines contradict each other, or nothing tells.
    """
    tells: dict[DateOrder, tuple[int, str]] = {}
    example = ""
    for line, text in times:
        if (found := _SLASHED.match(text)) is None:
            continue
        example = example or found[0].strip()
        first, second = int(found[1]) > 12, int(found[2]) > 12
        if first != second:
            tells.setdefault("dmy" if first else "mdy", (line, found[0].strip()))
        if len(tells) == len(ORDERS):
            (line, text), (other, before) = tells[_last(tells)], tells[_first(tells)]
            raise UsageError(
                f"line {line}: time: {text!r} is {WORDS[_last(tells)]}, {before!r} on line {other} "
                f"{WORDS[_first(tells)]}"
            )
    for order, (line, text) in tells.items():
        return order, f"line {line} has {text}"
    if any(name.strip().lower() in _MONTH_FIRST_HEADINGS for name in names):
        return "mdy", "its headings are Nasdaq's"
    raise UsageError(
        f"time: {example!r} may be month or day first, and no line of the file tells; "
        "say --date-order mdy or --date-order dmy"
    )


def _first(tells: dict[DateOrder, tuple[int, str]]) -> DateOrder:
    return next(iter(tells))


def _last(tells: dict[DateOrder, tuple[int, str]]) -> DateOrder:
    return next(reversed(tells))
