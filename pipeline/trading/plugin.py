"""A user's own code: found by its source, and run under guard: its instructions counted, its time watched.

Importing it is watched only: how many instructions that takes depends on what was imported before.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Protocol

from pipeline import limits
from pipeline.trading.counting import OverlongError as OverlongError
from pipeline.trading.counting import counted

Parameters = Mapping[str, str | int | bool]


class Watch(Protocol):
    """Ends this process when a user's call does not come back: what counting cannot see, such as a call into
    C that waits. `stages.call_watch` has the real one."""

    def enter(self, tag: str, limit_s: float | None = None) -> None:
        """The call of the code that `tag` names begins, and may take `limit_s` (None: as any call). Raises
        HungError for one that hung before."""

    def leave(self) -> None:
        """It has come back."""


class NoWatch:
    """For processes whose user sees that nothing happens, and ends them."""

    def enter(self, tag: str, limit_s: float | None = None) -> None:
        pass

    def leave(self) -> None:
        pass


class HungError(Exception):
    """The code has hung before, more than once, and is not called again until it changes."""


class _Watching:
    """The process's one watch."""

    watch: Watch = NoWatch()
    interrupted = False
    calls = False
    """Whether a user's code is being called."""


def watch_calls(watch: Watch) -> None:
    """From now on every guarded call of this process is under `watch`."""
    _Watching.watch = watch


def guarded(tag: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """What `call` answers, counted and watched. Raises OverlongError, HungError and what it raises."""
    watch = _Watching.watch
    watch.enter(tag)
    _Watching.calls = True
    try:
        return counted(call, *arguments)
    finally:
        _Watching.calls = False
        watch.leave()


def _imported(tag: str, load: Callable[[], Any]) -> Any:
    """What `load` answers, watched for `limits.MAX_IMPORT_S`."""
    watch = _Watching.watch
    watch.enter(f"import of {tag}", limits.MAX_IMPORT_S)
    _Watching.calls = True
    try:
        return load()
    finally:
        _Watching.calls = False
        watch.leave()


def _end_a_copy() -> None:
    """A user's code that forks goes on alone: a second one of us would decide and print everything twice."""
    if _Watching.calls:
        os._exit(1)


os.register_at_fork(after_in_child=_end_a_copy)


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
    point = _entry_point(source, group)
    version = f"{point.value}=={point.dist.version if point.dist is not None else ''}"
    factory = _loaded(source, version, point.load)
    if not callable(factory):
        raise ValueError(
            f"custom: {source}: the entry point {point.value} is {type(factory).__name__}, not a class"
        )
    return factory, version


def _entry_point(source: str, group: str) -> metadata.EntryPoint:
    for point in metadata.entry_points(group=group):
        if point.name == source:
            return point
    known = ", ".join(sorted(point.name for point in metadata.entry_points(group=group))) or "none"
    raise ValueError(
        f"custom: source = {source!r}: neither FILE.py:CLASS nor an installed entry point of {group} "
        f"(installed: {known})"
    )


def look_for(source: str, group: str) -> None:
    """Raises ValueError for a source that cannot be: no such file, class, entry point or package.

    Runs nothing of it, so what only importing it tells is not found.
    """
    place, colon, name = source.rpartition(":")
    if colon and place.endswith(".py"):
        code = _read(source, Path(place))
        _compiled(source, place, code)
        if not re.search(rf"\b{re.escape(name)}\b".encode(), code) and b"import *" not in code:
            raise ValueError(f"custom: {source}: the file has no class {name}")
        return
    point = _entry_point(source, group)
    package = point.module.partition(".")[0]
    if package not in sys.modules and importlib.util.find_spec(package) is None:
        raise ValueError(f"custom: {source}: the entry point {point.value}: no module named {package!r}")


def _read(source: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"custom: {source}: {error.strerror or error}") from None


def _compiled(source: str, place: str, code: bytes) -> CodeType:
    try:
        return compile(code, place, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"custom: {source}: cannot be loaded: {said(error)}") from None


def _loaded(source: str, version: str, load: Callable[[], Any]) -> Any:
    try:
        return _imported(f"custom({version})", load)
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise ValueError(f"custom: {source}: cannot be loaded: {said(error)}") from None


def _in_file(source: str, file: Path, name: str) -> tuple[Callable[..., Any], str]:
    code = _read(source, file)
    digest = hashlib.sha256(code).hexdigest()[:16]
    compiled = _compiled(source, str(file), code)
    spec = importlib.util.spec_from_file_location(f"ringline_custom_{digest}", file)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module

    def find() -> Any:
        exec(compiled, module.__dict__)  # noqa: S102 - running it is what the user asks for
        return getattr(module, name, None)

    factory = _loaded(source, digest, find)
    if not callable(factory):
        raise ValueError(f"custom: {source}: the file has no class {name}")
    return factory, digest


def said(error: BaseException) -> str:
    """An error of a user's code, in one line."""
    if isinstance(error, OverlongError):
        return f"takes more than {limits.MAX_STRATEGY_INSTRUCTIONS} instructions of Python"
    if isinstance(error, HungError):
        return f"hung {limits.MAX_HANGS} times and is refused until its code or parameters change"
    line = getattr(error, "lineno", None)
    where = f" (line {line})" if isinstance(line, int) else ""
    try:
        text = str(error)[:200]
    except Exception:  # a user's error may fail to say itself
        text = ""
    return f"{type(error).__name__}: {text}{where}"
