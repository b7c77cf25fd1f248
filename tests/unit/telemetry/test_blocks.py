"""Blocks are context managers like any other: for `with`, for ExitStack, for whoever calls their class."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from typing import Any, NamedTuple

import pytest

from pipeline.telemetry import MetricsCollector, measure, native
from pipeline.telemetry.calls import ThreadPart
from pipeline.telemetry.layout import HEAD
from pipeline.telemetry.python_calls import PythonCalls
from pipeline.telemetry.recorder import Recorder, _bind, _bind_native
from pipeline.telemetry.ring import Ring, memory_ring

EVENT = 3
found, why_not = native.load("")


class Made(NamedTuple):
    block: Callable[[int], AbstractContextManager[None]]
    recorded: Callable[[], int]


def in_use() -> tuple[Made, Callable[[], None]]:
    metrics = MetricsCollector()
    metrics.clear()
    return Made(measure, lambda: metrics.get_stats(EVENT).count), metrics.clear


def of_ring(choose: Callable[[Ring], Callable[[int], AbstractContextManager[None]]]) -> Any:
    ring = memory_ring("w", 64)
    return Made(choose(ring), lambda: ring.words[HEAD]), ring.close


def python_block(ring: Ring) -> Callable[[int], AbstractContextManager[None]]:
    return PythonCalls(lambda: ThreadPart(ring, lambda: 1.0)).block


def python_span(ring: Ring) -> Callable[[int], AbstractContextManager[None]]:
    recorder = Recorder()
    _bind(recorder, ring.put, time.monotonic_ns, None)
    return recorder.span


def c_span(ring: Ring) -> Callable[[int], AbstractContextManager[None]]:
    if found is None:
        pytest.skip(why_not)
    recorder = Recorder()
    _bind_native(recorder, found.Writer(ring.memory, 64, False, False))
    return recorder.span


MAKES: dict[str, Callable[[], Any]] = {
    "measure in use": in_use,
    "measure in Python": lambda: of_ring(python_block),
    "span in C": lambda: of_ring(c_span),
    "span in Python": lambda: of_ring(python_span),
}


@pytest.fixture(params=MAKES)
def made(request: pytest.FixtureRequest) -> Iterator[Made]:
    one, end = MAKES[request.param]()
    yield one
    end()


def test_an_exit_stack_enters_and_leaves_it(made: Made) -> None:
    ran = []
    with ExitStack() as stack:
        stack.enter_context(made.block(EVENT))
        stack.enter_context(made.block(EVENT))
        ran.append(1)
    assert (ran, made.recorded()) == ([1], 2)


def test_an_async_exit_stack_does(made: Made) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            stack.enter_context(made.block(EVENT))

    asyncio.run(run())
    assert made.recorded() == 1


def test_who_calls_the_class_gets_what_with_does(made: Made) -> None:
    block = made.block(EVENT)
    kind: Any = type(block)
    kind.__enter__(block)
    assert kind.__exit__(block, None, None, None) is None
    try:
        kind.__enter__(block)
        raise KeyError
    except KeyError:
        assert not kind.__exit__(block, *sys.exc_info())
    with block:
        pass
    assert made.recorded() == 3


def test_the_block_itself_may_be_called_by_name(made: Made) -> None:
    block = made.block(EVENT)
    block.__enter__()
    block.__exit__(None, None, None)
    assert made.recorded() == 1


def test_an_exception_passes_through_a_stack_measured(made: Made) -> None:
    def run() -> None:
        with ExitStack() as stack:
            stack.enter_context(made.block(EVENT))
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run()
    assert made.recorded() == 1


def test_a_block_that_was_never_entered_records_nothing(made: Made) -> None:
    with ExitStack() as stack:
        stack.push(made.block(EVENT))
    assert made.recorded() == 0


def test_a_block_is_a_context_manager_by_type(made: Made) -> None:
    assert isinstance(made.block(EVENT), contextlib.AbstractContextManager)


@pytest.mark.parametrize("arguments", [(lambda: None,), (1, 2), (1, 2, 3, 4)])
def test_a_block_in_the_place_of_a_decorator_says_which_one_to_take(made: Made, arguments: Any) -> None:
    block: Any = made.block(EVENT)
    with pytest.raises(TypeError, match="measure_sync"):
        block(*arguments)
    with pytest.raises(TypeError, match="measure_sync"):
        block(function=arguments)
    assert made.recorded() == 0


@pytest.mark.parametrize("arguments", [(), (1,)])
def test_the_class_called_wrongly_says_so(made: Made, arguments: Any) -> None:
    kind: Any = type(made.block(EVENT))
    leave: Any = kind.__exit__
    with pytest.raises(TypeError):
        leave(*arguments)
    assert made.recorded() == 0
