"""Measure a block, a function or a coroutine. A failure to measure never reaches what is measured, and
what is measured may raise whatever it likes: it passes through, measured."""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast, overload

from pipeline.errors import UsageError
from pipeline.telemetry.metrics import MetricsCollector
from pipeline.telemetry.native import extension
from pipeline.telemetry.signatures import wrapper_like

_record_start = MetricsCollector().record_start
_record_end = MetricsCollector().record_end
P = ParamSpec("P")
R = TypeVar("R")
Y = TypeVar("Y")
S = TypeVar("S")


def measure(event_id: int) -> AbstractContextManager[None]:
    """`with measure(EventID.ORDER_PLACEMENT): …`. One object a use; nesting, threads and tasks are fine."""
    return _block(event_id)


_block = MetricsCollector().block
if not TYPE_CHECKING:
    measure = _block  # the same without a call in between


def measure_sync(event_id: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Measure each call of a function; of a generator, from its first value to its end.

    Raises UsageError when what is decorated is a coroutine function: that would time its making.
    """

    import inspect  # 10 ms: not for those who decorate nothing

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise UsageError(f"measure_sync on {function.__qualname__}: it is async, use measure_async")
        if inspect.isgeneratorfunction(function):
            return cast("Callable[P, R]", _measured_generator(event_id, function))
        if extension is not None:
            timed = extension.Timed(function, event_id)
            return cast("Callable[P, R]", functools.update_wrapper(timed, function))
        return _measured(_SYNC, event_id, function)

    return decorate


class AsyncDecorator(Protocol):
    """What `measure_async` gives back: it leaves the type of what it decorates."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(
        self, function: Callable[P, AsyncGenerator[Y, S]], /
    ) -> Callable[P, AsyncGenerator[Y, S]]: ...

    @overload
    def __call__(self, function: Callable[P, AsyncIterator[Y]], /) -> Callable[P, AsyncIterator[Y]]: ...


def measure_async(event_id: int) -> AsyncDecorator:
    """Measure each run of a coroutine function, from its first step to its end, awaits included; of an
    async generator, from its first value to its end.

    Raises UsageError when what is decorated is neither.
    """

    import inspect

    def decorate(function: Callable[..., Any], /) -> Callable[..., Any]:
        if inspect.isasyncgenfunction(function):
            return _measured_async_generator(event_id, function)
        if not inspect.iscoroutinefunction(function):
            name = getattr(function, "__qualname__", repr(function))
            raise UsageError(f"measure_async on {name}: it is no coroutine function, use measure_sync")
        if extension is not None:
            return wrapper_like(function, _ASYNC_LAP, {"lap": extension.Lap(event_id)})
        return _measured(_ASYNC, event_id, function)

    return cast("AsyncDecorator", decorate)


_SYNC = """def _telemetry_wrapper():
    _telemetry_started_ns = _telemetry_start(_telemetry_event)
    try:
        return _telemetry_call
    finally:
        _telemetry_end(_telemetry_event, _telemetry_started_ns)
"""
_ASYNC = "async " + _SYNC.replace("return ", "return await ")
_ASYNC_LAP = """async def _telemetry_wrapper():
    _telemetry_begun = _telemetry_lap()
    try:
        return await _telemetry_call
    finally:
        _telemetry_begun(None)
"""


def _measured(body: str, event_id: int, function: Callable[..., Any]) -> Callable[..., Any]:
    return wrapper_like(function, body, {"start": _record_start, "end": _record_end, "event": event_id})


def _measured_generator(
    event_id: int, function: Callable[..., Any]
) -> Callable[..., Generator[Any, Any, Any]]:
    record_start, record_end = _record_start, _record_end

    @functools.wraps(function)
    def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        started_ns = record_start(event_id)
        try:
            return (yield from function(*args, **kwargs))
        finally:
            record_end(event_id, started_ns)

    return generate


def _begun_unseen(inner: AsyncGenerator[Any, Any]) -> Coroutine[Any, Any, Any]:
    """Its first step, of which the event loop is not told: it knows the generator around this one, and
    closing both at one time when it ends is an error. What asks at the first step is not asked again."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=None)
    try:
        return inner.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)


def _measured_async_generator(
    event_id: int, function: Callable[..., AsyncGenerator[Any, Any]]
) -> Callable[..., AsyncGenerator[Any, Any]]:
    record_start, record_end = _record_start, _record_end

    @functools.wraps(function)
    async def generate(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        started_ns = record_start(event_id)
        inner = function(*args, **kwargs)
        try:
            step = _begun_unseen(inner)
            while True:
                try:
                    value = await step
                except StopAsyncIteration:
                    return
                try:
                    step = inner.asend((yield value))
                except GeneratorExit:
                    raise
                except BaseException as error:
                    step = inner.athrow(error)
        finally:
            try:
                await inner.aclose()
            finally:
                record_end(event_id, started_ns)

    return generate
