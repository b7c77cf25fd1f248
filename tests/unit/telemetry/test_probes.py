"""Pauses of the garbage collector, lag of the event loop, async generators: recorded by themselves."""

import asyncio
import gc
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.telemetry import EventID, MetricsCollector, Sketch, measure_async, watch_event_loop, watch_gc
from pipeline.telemetry.omission import corrected
from pipeline.telemetry.probes import LoopProbe
from pipeline.telemetry.sketch import ANSWERS, RELATIVE_ERROR, bucket_of

EVENT = EventID.ORDER_PLACEMENT


@pytest.fixture
def metrics() -> Iterator[MetricsCollector]:
    one = MetricsCollector()
    one.clear()
    yield one
    watch_gc(False)
    one.clear()


def test_each_collection_is_a_pause_while_it_is_watched(metrics: MetricsCollector) -> None:
    watch_gc()
    watch_gc()
    for _ in range(5):
        gc.collect()
    watch_gc(False)
    watch_gc(False)
    found = metrics.get_stats(EventID.GC_PAUSE)
    gc.collect()
    assert found.count >= 5
    assert metrics.get_stats(EventID.GC_PAUSE).count == found.count
    assert found.max is not None
    assert found.max > 1000


def test_a_blocked_event_loop_is_seen(metrics: MetricsCollector) -> None:
    async def block() -> None:
        probe = watch_event_loop(0.01)
        await asyncio.sleep(0.05)
        time.sleep(0.2)  # noqa: ASYNC251 - this is what the probe is for
        await asyncio.sleep(0.05)
        probe.stop()
        probe.stop()

    asyncio.run(block())
    found = metrics.get_stats(EventID.EVENT_LOOP_LAG)
    assert found.count >= 5
    assert found.max is not None
    assert found.max > 150_000_000


class FakeLoop:
    """Its time passes when a timer fires, later by what it is told."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, due_s: float, fire: Callable[[], None]) -> Any:
        self.timers.append((due_s, fire))

    def run(self, late_s: float) -> None:
        due_s, fire = self.timers.pop(0)
        self.now_s = max(self.now_s, due_s) + late_s
        fire()


def test_a_stall_is_recorded_once() -> None:
    """What was due meanwhile is not made up for: it would count the one stall many times."""
    loop = FakeLoop()
    told: list[int] = []
    LoopProbe(cast("Any", loop), 0.05, lambda _event, lag_ns: told.append(round(lag_ns / 1e6)))
    for late_s in (0, 0.003, 2, 0, 0, 0.001, 0):
        loop.run(late_s)
    assert told == [0, 3, 2000, 0, 0, 1, 0]


def test_without_a_loop_there_is_nothing_to_probe() -> None:
    with pytest.raises(RuntimeError):
        watch_event_loop()


def test_an_async_generator_is_measured_and_passes_everything_on(metrics: MetricsCollector) -> None:
    closed = []

    @measure_async(EVENT)
    async def echo(first: int) -> AsyncGenerator[object, object]:
        try:
            got: object = first
            while got != "stop":
                try:
                    got = yield got
                except KeyError as error:
                    got = ("caught", error.args)
        finally:
            closed.append(True)

    async def talk() -> list[object]:
        said = echo(1)
        heard = [await anext(said), await said.asend("two"), await said.athrow(KeyError("x"))]
        with pytest.raises(StopAsyncIteration):
            await said.asend("stop")
        left = echo(5)
        heard.append(await anext(left))
        await left.aclose()
        raising = echo(6)
        await anext(raising)
        with pytest.raises(ValueError, match="mine"):
            await raising.athrow(ValueError("mine"))
        return heard

    assert asyncio.run(talk()) == [1, "two", ("caught", ("x",)), 5]
    assert len(closed) == 3
    assert metrics.get_stats(EVENT).count == 3


def test_an_async_generator_that_is_only_iterated(metrics: MetricsCollector) -> None:
    @measure_async(EVENT)
    async def numbers(stop: int, *, start: int = 0) -> AsyncIterator[int]:
        for number in range(start, stop):
            await asyncio.sleep(0)
            yield number

    async def total() -> int:
        return sum([number async for number in numbers(4, start=1)])

    assert asyncio.run(total()) == 6
    assert metrics.get_stats(EVENT).count == 1


@given(values=st.lists(st.integers(0, 10**7), min_size=1, max_size=30), interval_ns=st.integers(1000, 10**6))
def test_correction_adds_what_hdr_histogram_adds(values: list[int], interval_ns: int) -> None:
    sketch, brute = Sketch(), Sketch()
    sketch.add(values)
    # The same one value at a time, on the sketch's own answers but for the longest.
    calls = [int(ANSWERS[one]) for one in bucket_of(np.array(sorted(values)[:-1], dtype=np.int64))]
    for value in (*calls, max(values)):
        brute.add(range(value - interval_ns, interval_ns - 1, -interval_ns))
    found = corrected(sketch, interval_ns)
    least = min(min(values), brute.minimum) if brute.count else min(values)
    assert (found.minimum, found.maximum) == (least, max(values))
    assert found.count == sketch.count + brute.count
    assert (found.counts == sketch.counts + brute.counts).all()
    assert found.total == sketch.total + brute.total


@given(value=st.integers(1, 10**9), interval_ns=st.integers(1000, 10**7))
def test_one_stall_is_corrected_within_the_bound_of_any_percentile(value: int, interval_ns: int) -> None:
    sketch = Sketch()
    sketch.add([value])
    exact = sorted([value, *range(value - interval_ns, interval_ns - 1, -interval_ns)])
    found = corrected(sketch, interval_ns)
    assert found.count == len(exact)
    for percent in (0, 1, 5, 10, 25, 50, 95, 99, 99.9, 100):
        rank = max(1, -(-len(exact) * round(percent * 100) // 10_000))
        assert found.quantile(percent) == pytest.approx(exact[rank - 1], rel=RELATIVE_ERROR, abs=0)


@given(values=st.lists(st.integers(1, 10**8), min_size=2, max_size=20))
def test_corrected_percentiles_are_off_by_a_share_of_the_longest_stall_at_most(
    values: list[int],
) -> None:
    """Where no stall is so near to a multiple of the interval that one call more or less is added."""
    interval_ns = 10**6
    values = [value // interval_ns * interval_ns + interval_ns // 2 for value in values]
    sketch = Sketch()
    sketch.add(values)
    exact = sorted(
        one for value in values for one in (value, *range(value - interval_ns, interval_ns - 1, -interval_ns))
    )
    found = corrected(sketch, interval_ns)
    assert found.count == len(exact)
    bound = RELATIVE_ERROR * 2 * max(values) + 1
    for percent in (1, 25, 50, 95, 99.9):
        rank = max(1, -(-len(exact) * round(percent * 100) // 10_000))
        assert found.quantile(percent) == pytest.approx(exact[rank - 1], abs=bound)


@pytest.mark.parametrize("interval_ns", [0, -5])
def test_an_interval_that_cannot_be_is_refused(interval_ns: int) -> None:
    with pytest.raises(ValueError, match="expected_interval_ns = "):
        corrected(Sketch(), interval_ns)


@pytest.mark.parametrize(
    "values",
    [
        [1] * 999 + [1 << 46],
        [(1 << k) + d for k in range(1, 46) for d in (-1, 0, 1)],
        [random.Random(1).randrange(1, 200) for _ in range(5000)],
        [1000] * 990 + [200_000] * 10,
        sorted(int(1.0039**k) for k in range(1, 8000) if 1.0039**k < 1 << 46),
    ],
    ids=["one-far-away", "around-powers", "small-integers", "two-modes", "one-a-bucket"],
)
@pytest.mark.parametrize("percent", [50, 90, 95, 99, 99.9])
def test_percentiles_of_adversarial_values_are_within_the_bound(values: list[int], percent: float) -> None:
    sketch = Sketch()
    sketch.add(values)
    rank = max(1, -(-len(values) * round(percent * 100) // 10_000))
    exact = sorted(values)[rank - 1]
    assert sketch.quantile(percent) == pytest.approx(exact, rel=0.0039, abs=0)
