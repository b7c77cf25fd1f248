"""A user's own pricing model: a class in a Python file, or an entry point of an installed package.

    class Halfway:
        def __init__(self, weight=1): ...     # the parameters of the configuration
        def price(self, mark, bars): ...      # → int in price units, or None

It must be a pure function of what it is given. Loading happens once, when the configuration is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any

from pipeline.messages import Candle
from pipeline.trading.plugin import Parameters, find_plugin, guarded, is_interrupt, said

GROUP = "ringline.models"
"""The entry points' group."""


class CustomModel:
    """A user's model under guard. Raises ValueError, saying what is wrong, when it cannot be used."""

    vetted = False

    def __init__(self, source: str, parameters: Parameters) -> None:
        factory, self.version = find_plugin(source, GROUP)
        self._tag = f"custom({source},{self.version})"
        try:
            price = guarded(f"{self._tag}: its construction", _price_of, factory, parameters)
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise ValueError(
                f"custom: {source}: it cannot be made of its parameters: {said(error)}"
            ) from None
        if not callable(price):
            raise ValueError(f"custom: {source}: has no method price")
        if iscoroutinefunction(price) or isasyncgenfunction(price):
            raise ValueError(f"custom: {source}: its price is `async def`; it has to be a plain function")
        self._price = price

    def price(self, mark: int, bars: Sequence[Candle]) -> Any:
        """Raises OverlongError when it does not come to an end, HungError for one that has hung before, and
        whatever the user's code raises."""
        return guarded(self._tag, self._price, mark, bars)


def _price_of(factory: Callable[..., Any], parameters: Parameters) -> Any:
    return getattr(factory(**parameters), "price", None)
