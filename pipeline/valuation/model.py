"""What a pricing model is, and the guard that keeps one that misbehaves from doing harm."""

from __future__ import annotations

from collections.abc import Sequence
from types import CoroutineType
from typing import Protocol

from msgspec import Struct

from pipeline import limits
from pipeline.messages import Candle
from pipeline.trading.plugin import OverlongError, is_interrupt


class PricingModel(Protocol):
    """A pure function of the mark and of the bars before it: it sees nothing else and remembers nothing, so
    the price after a restart is the price before it."""

    @property
    def vetted(self) -> bool:
        """True only where tests prove that every answer is a price; others are tried each time."""

    def price(self, mark: int, bars: Sequence[Candle]) -> int | None:
        """What one unit is worth, in the instrument's price units; None: too little is known.

        `mark` is the newest known price; `bars` are candles, oldest first, perhaps none. The last one closes
        at `mark`: a mark that was posted after the last candle stands there as a bar of its own.
        """


class Answer(Struct, frozen=True, gc=False):
    """One model's price, or None with why it gave none ("": too little is known)."""

    model: str
    price: int | None
    fault: str = ""


OVERLONG = f"took more than {limits.MAX_STRATEGY_INSTRUCTIONS} instructions"


def ask(name: str, model: PricingModel, mark: int, bars: Sequence[Candle]) -> Answer:
    """One guarded question."""
    try:
        price = model.price(mark, bars)
    except OverlongError:
        return Answer(name, None, OVERLONG)
    except BaseException as error:
        if is_interrupt(error):
            raise
        return Answer(name, None, f"raised {type(error).__name__}")
    if price is None or model.vetted:
        return Answer(name, price)
    if isinstance(price, CoroutineType):
        price.close()  # nobody awaits it, and Python need not complain of that
        return Answer(name, None, "gave a coroutine: price has to be a plain function, not `async def`")
    if type(price) is not int:
        return Answer(name, None, f"gave {type(price).__name__}, not int")
    if not 0 < price <= limits.MAX_SCALED:
        return Answer(name, None, f"gave a price that is not within 1 to {limits.MAX_SCALED}")
    return Answer(name, price)
