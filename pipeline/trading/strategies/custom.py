"""A user's own strategy: a class in a Python file, or an entry point of an installed package.

    class Momentum:
        memory = Notes                      # a frozen msgspec Struct
        def __init__(self, bars=20): ...    # the parameters of the configuration
        def origin(self): ...               # → memory before the first candle
        def step(self, memory, candle): ... # → (memory, intent or None)

It must be a pure function of what it is given. Loading happens once, when the configuration is compiled, and
is guarded as its steps are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from pipeline.messages import Candle
from pipeline.trading.plugin import Parameters, find_plugin, guarded, is_interrupt, said

GROUP = "ringline.strategies"
"""The entry points' group."""


class Custom:
    """A user's strategy under guard. Raises ValueError, saying what is wrong, when it cannot be used."""

    __slots__ = ("_first", "_step", "memory", "tag")

    vetted = False

    def __init__(self, source: str, parameters: Parameters) -> None:
        factory, version = find_plugin(source, GROUP)
        words = json.dumps(dict(parameters), sort_keys=True)
        self.tag = f"custom({version},{hashlib.sha256(words.encode()).hexdigest()[:8]})"
        # Not under the tag of its steps: one that hangs there is refused there, and a worker starts anyway.
        tried = partial(_tried, f"{self.tag}: its construction", source)
        inner = tried("it cannot be made of its parameters", partial(factory, **parameters))
        for name in ("origin", "step"):
            if not callable(tried(name, partial(getattr, inner, name, None))):
                raise ValueError(f"custom: {source}: has no method {name}")
        kind = tried("memory", partial(getattr, inner, "memory", None))
        if not isinstance(kind, type) or not issubclass(kind, Struct):
            raise ValueError(f"custom: {source}: memory must name the type of its memory, a msgspec Struct")
        self.memory: type[Any] = kind
        first = tried("origin() failed", inner.origin)
        if type(first) is not kind:
            raise ValueError(f"custom: {source}: origin() gave {type(first).__name__}, not {kind.__name__}")
        self._first: bytes = tried("its memory", partial(msgspec.msgpack.encode, first))
        tried("its memory", self.origin)
        self._step = tried("step", partial(getattr, inner, "step"))

    def guard(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What `call`, in which the user's code runs, answers. Raises OverlongError, HungError, and whatever
        the user's code raises."""
        return guarded(self.tag, call, *arguments)

    def origin(self) -> Any:
        """What the user's `origin` gave when it was loaded."""
        return msgspec.msgpack.decode(self._first, type=self.memory)

    def step(self, memory: Any, candle: Candle) -> Any:
        """To be called under `guard`."""
        return self._step(memory, candle)


def _tried(tag: str, source: str, what: str, call: Callable[[], Any]) -> Any:
    """Counted and watched. Raises ValueError for whatever the user's code raises."""
    try:
        return guarded(tag, call)
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise ValueError(f"custom: {source}: {what}: {said(error)}") from None
