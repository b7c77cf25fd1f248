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
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from pipeline import limits
from pipeline.messages import Candle

GROUP = "ringline.strategies"
"""The entry points' group."""

Parameters = Mapping[str, str | int | bool]


class OverlongError(BaseException):
    """A step that takes more than `limits.MAX_STRATEGY_INSTRUCTIONS`. No `Exception`: a loop that ignores
    what goes wrong in it would ignore this too."""


class Custom:
    """A user's strategy under guard. Raises ValueError, saying what is wrong, when it cannot be used."""

    __slots__ = ("_inner", "_step", "memory", "tag")

    vetted = False

    def __init__(self, source: str, parameters: Parameters) -> None:
        factory, version = _found(source)
        try:
            self._inner = factory(**parameters)
        except (Exception, SystemExit) as error:
            raise ValueError(f"custom: {source}: its parameters do not fit: {_said(error)}") from None
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
            raise ValueError(f"custom: {source}: origin() failed: {_said(error)}") from None
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
        """Raises OverlongError when it does not come to an end: counted in bytecode instructions and not in
        time, so that it is the same on every machine. A call into C counts as one, however long it takes: a
        strategy must not sleep or wait."""
        left = limits.MAX_STRATEGY_INSTRUCTIONS

        def watch(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if event == "call":
                frame.f_trace_opcodes, frame.f_trace_lines = True, False
            left -= 1
            if left < 0:
                raise OverlongError
            return watch

        outer = sys.gettrace()
        sys.settrace(watch)
        try:
            answer = self._step(memory, candle)
        finally:
            sys.settrace(outer)
        if left < 0:
            raise OverlongError  # it was told, and went on
        return answer


def _found(source: str) -> tuple[Callable[..., Any], str]:
    """What `source` names, and a word that changes when its code does."""
    place, colon, name = source.rpartition(":")
    if colon and place.endswith(".py"):
        return _in_file(source, Path(place), name)
    points = [point for point in metadata.entry_points(group=GROUP) if point.name == source]
    if not points:
        known = ", ".join(sorted(point.name for point in metadata.entry_points(group=GROUP))) or "none"
        raise ValueError(
            f"custom: source = {source!r}: neither FILE.py:CLASS nor an installed entry point of {GROUP} "
            f"(installed: {known})"
        )
    try:
        factory = points[0].load()
    except (Exception, SystemExit) as error:
        raise ValueError(f"custom: {source}: cannot be loaded: {_said(error)}") from None
    version = points[0].dist.version if points[0].dist is not None else ""
    return factory, f"{points[0].value}=={version}"


def _in_file(source: str, file: Path, name: str) -> tuple[Callable[..., Any], str]:
    try:
        code = file.read_bytes()
    except OSError as error:
        raise ValueError(f"custom: {source}: {error.strerror or error}") from None
    digest = hashlib.sha256(code).hexdigest()[:16]
    module_name = f"ringline_custom_{digest}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        compiled: CodeType = compile(code, str(file), "exec")
        exec(compiled, module.__dict__)  # noqa: S102 - running it is what the user asks for
    except (Exception, SystemExit) as error:
        raise ValueError(f"custom: {source}: cannot be loaded: {_said(error)}") from None
    factory = getattr(module, name, None)
    if not callable(factory):
        raise ValueError(f"custom: {source}: the file has no class {name}")
    return factory, digest


def _said(error: BaseException) -> str:
    line = getattr(error, "lineno", None)
    where = f" (line {line})" if isinstance(line, int) else ""
    return f"{type(error).__name__}: {str(error)[:200]}{where}"
