"""The pricing models that come with the product. All round half to even, to the instrument's price unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipeline.config import valuation as section
from pipeline.messages import Candle
from pipeline.valuation.amounts import half_even, median
from pipeline.valuation.custom import CustomModel
from pipeline.valuation.model import PricingModel

_FRACTION_BITS = 32
"""Of the exponential model's running value: each step is cut by less than 2⁻³² of a price unit."""


class Last:
    """The mark itself: the last close, or what was posted after it."""

    vetted = True

    def price(self, mark: int, bars: Sequence[Candle]) -> int | None:  # noqa: ARG002 - a model's signature
        return mark


class VolumeWeighted:
    """Typical prices of the last `bars` candles, each weighted by its volume; None where none traded."""

    vetted = True

    def __init__(self, bars: int) -> None:
        self._bars = bars

    def price(self, mark: int, bars: Sequence[Candle]) -> int | None:  # noqa: ARG002
        weighted = volume = 0
        for bar in bars[-self._bars :]:
            weighted += (bar.high + bar.low + bar.close) * bar.volume
            volume += bar.volume
        return half_even(weighted, 3 * volume) if volume else None


class Exponential:
    """The exponential mean of closes, weight 2 / (bars + 1), over the last 3 × `bars` candles: what is older
    has less than 0.3 % of the weight. Begins with the oldest close."""

    vetted = True

    def __init__(self, bars: int) -> None:
        self._bars = bars

    def price(self, mark: int, bars: Sequence[Candle]) -> int | None:  # noqa: ARG002
        seen = bars[-3 * self._bars :]
        if not seen:
            return None
        divisor = self._bars + 1
        value = seen[0].close << _FRACTION_BITS
        for bar in seen:
            value += 2 * ((bar.close << _FRACTION_BITS) - value) // divisor
        return half_even(value, 1 << _FRACTION_BITS)


class Typical:
    """(high + low + close) / 3 of the last candle."""

    vetted = True

    def price(self, mark: int, bars: Sequence[Candle]) -> int | None:  # noqa: ARG002
        if not bars:
            return None
        bar = bars[-1]
        return half_even(bar.high + bar.low + bar.close, 3)


class MedianClose:
    """The median close of the last `bars` candles: one wild bar does not move it."""

    vetted = True

    def __init__(self, bars: int) -> None:
        self._bars = bars

    def price(self, mark: int, bars: Sequence[Candle]) -> int | None:  # noqa: ARG002
        return median([bar.close for bar in bars[-self._bars :]]) if bars else None


Factory = Callable[[section.Model], PricingModel]

KINDS: Mapping[str, Factory] = {
    "last": lambda _: Last(),
    "vwap": lambda wanted: VolumeWeighted(wanted.bars),
    "ewma": lambda wanted: Exponential(wanted.bars),
    "typical": lambda _: Typical(),
    "median": lambda wanted: MedianClose(wanted.bars),
    "custom": lambda wanted: CustomModel(wanted.source, wanted.parameters),
}


CUSTOM = "custom"
"""The kind that is a user's own code."""


def compile_models(wanted: Mapping[str, section.Model]) -> dict[str, PricingModel]:
    """By name, in the order of the names. Raises ValueError, naming the model, when one cannot be used."""
    made: dict[str, PricingModel] = {}
    for name in sorted(wanted):
        try:
            made[name] = KINDS[wanted[name].kind](wanted[name])
        except ValueError as error:
            raise ValueError(f"valuation.models.{name}: {error}") from None
    return made
