"""A user's own code: found by its source, and run under a count of its instructions."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from pipeline import limits

Parameters = Mapping[str, str | int | bool]


class OverlongError(BaseException):
    """A call that takes more than `limits.MAX_STRATEGY_INSTRUCTIONS`. No `Exception`: a loop that ignores
    what goes wrong in it would ignore this too."""


def counted(call: Callable[..., Any], *arguments: Any) -> Any:
    """Raises OverlongError when it does not come to an end: counted in bytecode instructions and not in
    time, so that it is the same on every machine. A call into C counts as one, however long it takes: a
    user's code must not sleep or wait."""
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
        answer = call(*arguments)
    finally:
        sys.settrace(outer)
    if left < 0:
        raise OverlongError  # it was told, and went on
    return answer


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
    except (Exception, SystemExit) as error:
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
    except (Exception, SystemExit) as error:
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
