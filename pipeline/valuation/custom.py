"""A user's own pricing model: a class in a Python file, or an entry point of an installed package.

    class Halfway:
        def __init__(self, weight=1): ...     # the parameters of the configuration
        def price(self, mark, bars): ...      # → int in price units, or None

It must be a pure function of what it is given. Loading happens once, when the configuration is compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.messages import Candle
from pipeline.trading.plugin import Parameters, find_plugin, guarded, said

GROUP = "ringline.models"
"""The entry points' group."""


class CustomModel:
    """A user's model under guard. Raises ValueError, saying what is wrong, when it cannot be used."""

    vetted = False

    def __init__(self, source: str, parameters: Parameters) -> None:
        factory, self.version = find_plugin(source, GROUP)
        try:
            inner = factory(**parameters)
        except (Exception, SystemExit) as error:
            raise ValueError(f"custom: {source}: its parameters do not fit: {said(error)}") from None
        price = getattr(inner, "price", None)
        if not callable(price):
            raise ValueError(f"custom: {source}: has no method price")
        self._price = price
        self._tag = f"custom({source},{self.version})"

    def price(self, mark: int, bars: Sequence[Candle]) -> Any:
        """Raises OverlongError when it does not come to an end, HungError for one that has hung before, and
        whatever the user's code raises."""
        return guarded(self._tag, self._price, mark, bars)
