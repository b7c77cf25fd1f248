"""Exact amounts across instruments: one scale for all money, and the one rule by which anything rounds."""

from __future__ import annotations

from functools import cache

from pipeline import limits
from pipeline.trading.decimals import decimal_text

MONEY_SCALE = 2 * limits.MAX_SCALE
"""Decimals of every sum: price × quantity of any instrument fits without rounding."""


def half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` (> 0) to the nearest integer; of two equally near the even one."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return quotient + (twice > denominator or (twice == denominator and quotient & 1))


@cache
def to_money(money_scale: int) -> int:
    """What an amount with `money_scale` decimals is multiplied by to have `MONEY_SCALE` of them."""
    return int(10 ** (MONEY_SCALE - money_scale))


def money_text(amount: int) -> str:
    """The shortest decimal text of an amount with `MONEY_SCALE` decimals."""
    return decimal_text(amount, MONEY_SCALE)


def median(values: list[int]) -> int:
    """The middle one; of an even count the mean of the two in the middle, rounded half to even."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return half_even(ordered[middle - 1] + ordered[middle], 2)
