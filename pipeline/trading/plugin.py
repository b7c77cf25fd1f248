"""A user's own code: found by its source, and run under guard: its instructions counted, its time watched."""

from __future__ import annotations

import hashlib
import importlib.util
import signal
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Protocol

from pipeline.trading.counting import OverlongError as OverlongError
from pipeline.trading.counting import counted

Parameters = Mapping[str, str | int | bool]


class Watch(Protocol):
    """Ends this process when a user's call does not come back: what counting cannot see, such as a call into
    C that waits. `stages.call_watch` has the real one."""

    def enter(self, tag: str) -> None:
        """The call of the code that `tag` names begins. Raises HungError for one that hung before."""

    def leave(self) -> None:
        """It has come back."""


class NoWatch:
    """For processes whose user sees that nothing happens, and ends them."""

    def enter(self, tag: str) -> None:
        pass

    def leave(self) -> None:
        pass


class HungError(Exception):
    """The code has hung before, more than once, and is not called again until it changes."""


class _Watching:
    """The process's one watch."""

    watch: Watch = NoWatch()
    interrupted = False


def watch_calls(watch: Watch) -> None:
    """From now on every guarded call of this process is under `watch`."""
    _Watching.watch = watch


def guarded(tag: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """What `call` answers, counted and watched. Raises OverlongError, HungError and what it raises."""
    watch = _Watching.watch
    watch.enter(tag)
    try:
        return counted(call, *arguments)
    finally:
        watch.leave()


def heed_interrupts() -> None:
    """Ctrl-C raises KeyboardInterrupt, and `is_interrupt` tells it from one that a user's code raises."""
    signal.signal(signal.SIGINT, _pressed)


def _pressed(_number: int, _frame: FrameType | None) -> None:
    _Watching.interrupted = True
    raise KeyboardInterrupt


def is_interrupt(error: BaseException) -> bool:
    """Whether a person pressed Ctrl-C. Where SIGINT has a handler of a worker's, a KeyboardInterrupt is the
    user code's own; where it has Python's, nobody can tell."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    return _Watching.interrupted or signal.getsignal(signal.SIGINT) is signal.default_int_handler


def find_plugin(source: str, group: str) -> tuple[Callable[..., Any], str]:
    """What `source`, FILE.py:CLASS or an entry point of `group`, names, and a word that changes when its code
    does. Raises ValueError."""
    place, colon, name = source.rpartition(":")
    if colon and place.endswith(".py"):
        return _in_file(source, Path(place), name)
    points = [point for point in metadata.entry_points(group=group) if point.name == source]
    if not points:
        known = ", ".join(sorted(point.name for point in metadata.entry_points(group=group))) or "none"
        raise ValueError(
            f"custom: source = {source!r}: neither FILE.py:CLASS nor an installed entry point of {group} "
            f"(installed: {known})"
        )
    try:
        factory = points[0].load()
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise ValueError(f"custom: {source}: cannot be loaded: {said(error)}") from None
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
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise ValueError(f"custom: {source}: cannot be loaded: {said(error)}") from None
    factory = getattr(module, name, None)
    if not callable(factory):
        raise ValueError(f"custom: {source}: the file has no class {name}")
    return factory, digest


def said(error: BaseException) -> str:
    """An error of a user's code, in one line."""
    line = getattr(error, "lineno", None)
    where = f" (line {line})" if isinstance(line, int) else ""
    return f"{type(error).__name__}: {str(error)[:200]}{where}"
