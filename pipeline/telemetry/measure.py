"""Measure a block, a function or a coroutine. A failure to measure never reaches what is measured, and
what is measured may raise whatever it likes: it passes through, measured."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from pipeline.errors import UsageError
from pipeline.telemetry.metrics import MetricsCollector

_record_start = MetricsCollector().record_start
_record_end = MetricsCollector().record_end
P = ParamSpec("P")
R = TypeVar("R")


class measure:  # noqa: N801 - reads as a verb where it is used
    """`with measure(EventID.ORDER_PLACEMENT): …`. One object a use; nesting and threads are fine."""

    __slots__ = ("_event_id", "_started_ns")

    def __init__(self, event_id: int) -> None:
        self._event_id = event_id

    def __enter__(self) -> None:
        self._started_ns = _record_start(self._event_id)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _record_end(self._event_id, self._started_ns)


def measure_sync(event_id: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Measure each call of a function; of a generator, from its first value to its end.

    Raises UsageError when what is decorated is a coroutine function: that would time its making.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise UsageError(f"measure_sync on {function.__qualname__}: it is async, use measure_async")
        record_start, record_end = _record_start, _record_end
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generate(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, Any]:
                started_ns = record_start(event_id)
                try:
                    return (yield from function(*args, **kwargs))
                finally:
                    record_end(event_id, started_ns)

            return cast("Callable[P, R]", generate)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            started_ns = record_start(event_id)
            try:
                return function(*args, **kwargs)
            finally:
                record_end(event_id, started_ns)

        return call

    return decorate


def measure_async(
    event_id: int,
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]:
    """Measure each run of a coroutine function, from its first step to its end, awaits included.

    Raises UsageError when what is decorated is not a coroutine function.
    """

    def decorate(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        if not inspect.iscoroutinefunction(function):
            name = getattr(function, "__qualname__", repr(function))
            raise UsageError(f"measure_async on {name}: it is no coroutine function, use measure_sync")
        record_start, record_end = _record_start, _record_end

        @functools.wraps(function)
        async def call(*args: P.args, **kwargs: P.kwargs) -> R:
            started_ns = record_start(event_id)
            try:
                return await function(*args, **kwargs)
            finally:
                record_end(event_id, started_ns)

        return call

    return decorate
