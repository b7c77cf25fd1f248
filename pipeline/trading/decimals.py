"""Exact decimal text ↔ scaled integers: the only way in and out for prices, quantities and money."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import floor

from pipeline import limits
from pipeline.errors import InvalidEventError

_CLIP_CHARS = 48
"""Of a value repeated in an error: longer than any valid one, short enough for a log line."""
_POWERS: tuple[int, ...] = tuple(10**exponent for exponent in range(limits.MAX_SCALE + 1))


def scaled(field: str, text: str, scale: int) -> int:
    """`text` times 10^scale, exactly; no rounding ever.

    Raises InvalidEventError naming `field` when `text` is no plain decimal number, has more decimals than
    `scale` (trailing zeros aside) or its magnitude exceeds `limits.MAX_SCALED`.
    """
    whole, point, decimals = text.partition(".")
    unsigned = whole[1:] if whole[:1] == "-" else whole
    if not (unsigned.isdigit() and text.isascii()) or (point and not decimals.isdigit()):
        raise _not_a_number(field, text)
    if len(text) > limits.MAX_DECIMAL_CHARS:
        raise InvalidEventError(field, f"has {len(text)} characters; the limit is {limits.MAX_DECIMAL_CHARS}")
    if len(decimals) > scale:
        if decimals[scale:].strip("0"):
            raise InvalidEventError(field, f"{text!r} has more than {scale} decimals")
        decimals = decimals[:scale]
    value = int(whole + decimals) * _POWERS[scale - len(decimals)]
    if not -limits.MAX_SCALED <= value <= limits.MAX_SCALED:
        most = decimal_text(limits.MAX_SCALED, scale)
        raise InvalidEventError(field, f"{text!r} is beyond the limit of {most} for {scale} decimals")
    return value


def decimal_text(value: int, scale: int) -> str:
    """The shortest decimal text of `value` × 10^-scale: 1234500 at scale 4 → "123.45"."""
    if not scale:
        return str(value)
    sign = "-" if value < 0 else ""
    digits = str(abs(value)).rjust(scale + 1, "0")
    whole, decimals = digits[:-scale], digits[-scale:].rstrip("0")
    return f"{sign}{whole}.{decimals}" if decimals else sign + whole


def configured(text: str, scale: int) -> int:
    """A configured amount × 10^scale, rounded down: of a limit, what does not fit is not allowed."""
    return floor(fraction(text) * Fraction(10) ** scale)


def fraction(text: str) -> Fraction:
    """A configured ratio or amount as an exact fraction."""
    return Fraction(Decimal(text))


def _not_a_number(field: str, text: str) -> InvalidEventError:
    shown = text if len(text) <= _CLIP_CHARS else text[:_CLIP_CHARS] + "…"
    return InvalidEventError(field, f"{shown!r} is not a decimal number such as 101.25")
