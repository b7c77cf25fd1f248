"""A user's own strategy: a class in a Python file, or an entry point of an installed package.

    class Momentum:
        memory = Notes                      # a frozen msgspec Struct
        def __init__(self, bars=20): ...    # the parameters of the configuration
        def origin(self): ...               # → memory before the first candle
        def step(self, memory, candle): ... # → (memory, intent or None)

It must be a pure function of what it is given. Loading happens once, when the configuration is compiled.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pipeline.messages import Candle
from pipeline.trading.plugin import Parameters, find_plugin, guarded, said

GROUP = "ringline.strategies"
"""The entry points' group."""


class Custom:
    """A user's strategy under guard. Raises ValueError, saying what is wrong, when it cannot be used."""

    __slots__ = ("_inner", "_step", "memory", "tag")

    vetted = False

    def __init__(self, source: str, parameters: Parameters) -> None:
        factory, version = find_plugin(source, GROUP)
        try:
            self._inner = factory(**parameters)
        except (Exception, SystemExit) as error:
            raise ValueError(f"custom: {source}: its parameters do not fit: {said(error)}") from None
        for name in ("origin", "step"):
            if not callable(getattr(self._inner, name, None)):
                raise ValueError(f"custom: {source}: has no method {name}")
        kind = getattr(self._inner, "memory", None)
        if not isinstance(kind, type):
            raise ValueError(f"custom: {source}: memory must name the type of its memory, a msgspec Struct")
        self.memory: type[Any] = kind
        try:
            first = self._inner.origin()
        except (Exception, SystemExit) as error:
            raise ValueError(f"custom: {source}: origin() failed: {said(error)}") from None
        if type(first) is not self.memory:
            raise ValueError(
                f"custom: {source}: origin() gave {type(first).__name__}, not {self.memory.__name__}"
            )
        self._step = self._inner.step
        words = json.dumps(dict(parameters), sort_keys=True)
        self.tag = f"custom({version},{hashlib.sha256(words.encode()).hexdigest()[:8]})"

    def origin(self) -> Any:
        return self._inner.origin()

    def step(self, memory: Any, candle: Candle) -> Any:
        """Raises OverlongError when it does not come to an end, HungError for one that has hung before, and
        whatever the user's code raises."""
        return guarded(self.tag, self._step, memory, candle)
