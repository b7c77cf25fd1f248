"""Several models' prices as one: their median, and how far they are apart.

The median stands while fewer than half of the models are wrong, however wrong they are. `spread` is the
median distance from it (the median absolute deviation; Hampel, 1974), which is as hard to fool; and no less
than the distance of the mark, so that no price far from what was seen last is told as a sure one.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from pipeline.valuation.amounts import half_even, median
from pipeline.valuation.model import Answer

CONFIDENCE_SCALE = 4
"""Decimals of a confidence."""


class Agreement(Struct, frozen=True, gc=False):
    """In price units. `low` and `high` are the models' extremes; `asked` counts those without an answer."""

    price: int
    spread: int
    low: int
    high: int
    answered: int
    asked: int

    @property
    def confidence(self) -> int:
        """price / (price + spread), less the share of models without an answer; in 10⁻⁴.

        1 where all models give one price, a half where their spread is the price itself.
        """
        most = 10**CONFIDENCE_SCALE
        return half_even(most * self.price * self.answered, (self.price + self.spread) * self.asked)


def agree(answers: Sequence[Answer], mark: int) -> Agreement | None:
    """What the models agree on, with `mark` as the newest known price; None when none gave a price."""
    prices = [answer.price for answer in answers if answer.price is not None]
    if not prices:
        return None
    middle = median(prices)
    spread = max(median([abs(price - middle) for price in prices]), abs(mark - middle))
    return Agreement(middle, spread, min(prices), max(prices), len(prices), len(answers))
