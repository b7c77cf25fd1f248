"""The C extension: the same bytes as Python writes, and as harmless to its caller.

Whether it is there depends on a compiler; these tests need it, all others run with either writer.
"""

import asyncio
import gc
import inspect
import mmap
import pickle
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.telemetry import MetricsCollector, correlate, measure, measure_sync, native
from pipeline.telemetry.calls import ThreadPart
from pipeline.telemetry.layout import (
    ENTRIES,
    ENTRIES_BYTE,
    HEAD,
    HEADER_WORDS,
    Identity,
    Mode,
    Proof,
    ring_bytes,
)
from pipeline.telemetry.python_calls import PythonCalls
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.recorder import Recorder, _bind, _bind_native
from pipeline.telemetry.ring import memory_ring
from pipeline.telemetry.starts import Starts, starts_in
from pipeline.telemetry.writer import make_put

CAPACITY = 64
found, why_not = native.load("")
needs_extension = pytest.mark.skipif(found is None, reason=why_not)
in_use = pytest.mark.skipif(native.extension is None, reason=native.why_python or "-")


@pytest.fixture
def fast() -> ModuleType:
    assert found is not None
    return found


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any]]:
    return [(one.name, one.default) for one in inspect.signature(function).parameters.values()]


@needs_extension
def test_calls_in_c_say_the_same_parameters_as_those_in_python(fast: ModuleType) -> None:
    assert parameters(fast.measure) == [("event_id", inspect.Parameter.empty)]
    assert fast.measure.__doc__.startswith("`with measure(")
    in_python = PythonCalls(lambda: ThreadPart(None, lambda: 1.0))
    for name in ("record", "record_start", "record_end"):
        assert parameters(getattr(fast, name)) == parameters(getattr(in_python, name))
    recorder, ring = Recorder(), memory_ring("w", CAPACITY)
    _bind(recorder, ring.put, time.monotonic_ns, None)
    writer = fast.Writer(ring.memory, CAPACITY, False, False)
    for name in ("record", "start", "end", "count", "gauge"):
        assert parameters(getattr(writer, name)) == parameters(getattr(recorder, name))
    assert [name for name, _ in parameters(writer.span)] == ["event_id", "correlation"]


@pytest.fixture
def metrics() -> Iterator[MetricsCollector]:
    one = MetricsCollector()
    one.clear()
    yield one
    one.clear()


def memory() -> mmap.mmap:
    return mmap.mmap(-1, ring_bytes(CAPACITY))


words = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(-(1 << 70), 1 << 70),
    st.sampled_from([None, "x", 1.5, True]),
)


@needs_extension
@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("proof", list(Proof))
@settings(max_examples=40)
@given(
    puts=st.lists(st.tuples(words, words, st.integers(-5, 1 << 65)), max_size=150), taken=st.integers(0, 64)
)
def test_c_and_python_write_the_same_bytes(
    mode: Mode, proof: Proof, puts: list[tuple[Any, Any, int]], taken: int
) -> None:
    assert found is not None
    ours, theirs = memory(), memory()
    view = memoryview(ours)
    python = make_put(view.cast("Q"), view[ENTRIES_BYTE:], CAPACITY, mode, proof)
    c = found.Writer(theirs, CAPACITY, mode == Mode.FLIGHT_RECORDER, proof == Proof.MIXED).put
    for number, one in enumerate(puts):
        assert c(*one) == python(*one), one
        if number == taken:
            for each in (ours, theirs):
                RingReader(each, Identity(CAPACITY, mode, proof, 1, 1, 1, "w")).drain(_scratch(40))
    assert _readable(theirs) == _readable(ours)


def _readable(space: mmap.mmap) -> tuple[list[int], list[int]]:
    """The header, and the entries that a reader may believe: what a refused put left behind is neither."""
    flat = memoryview(space).cast("Q").tolist()
    head = flat[HEAD]
    numbers = range(max(0, head + 1 - CAPACITY), head)
    entries = [flat[ENTRIES + number % CAPACITY * 4 + word] for number in numbers for word in range(4)]
    return flat[:HEADER_WORDS], entries


@needs_extension
@settings(max_examples=60)
@given(event=words, value=words, correlation=st.one_of(words, st.integers(0, 1 << 33)))
def test_c_and_python_calls_mean_the_same(event: Any, value: Any, correlation: Any) -> None:
    def left_by(way: str, call: Callable[[Recorder], object], timed: bool) -> list[int]:
        assert found is not None
        space = memory()
        writer = found.Writer(space, CAPACITY, False, False)
        recorder = Recorder()
        if way == "C":
            _bind_native(recorder, writer)
        else:
            _bind(recorder, writer.put, time.monotonic_ns, Starts(memoryview(space).cast("Q")))
        call(recorder)
        header, entries = _readable(space)
        return header + entries[1 + timed :] + [one.what for one in starts_in(space[:ENTRIES_BYTE])]

    def inside(recorder: Recorder) -> None:
        with recorder.span(event, correlation):
            pass

    calls: list[tuple[Callable[[Recorder], object], bool]] = [
        (lambda recorder: recorder.record(event, value, correlation), False),
        (lambda recorder: recorder.count(event, value), False),
        (lambda recorder: recorder.count(event), False),
        (lambda recorder: recorder.gauge(event, value, correlation=correlation), False),
        (lambda recorder: recorder.start(event, correlation), False),
        (lambda recorder: recorder.end(event, value, correlation), True),
        (inside, True),
    ]
    for call, timed in calls:
        assert left_by("C", call, timed) == left_by("Python", call, timed)


@needs_extension
def test_too_little_memory_or_an_odd_capacity_is_refused(fast: ModuleType) -> None:
    with pytest.raises(ValueError, match="are needed"):
        fast.Writer(mmap.mmap(-1, 4096), CAPACITY, False, False)
    for capacity in (0, 3, 1 << 41):
        with pytest.raises(ValueError, match="power of two"):
            fast.Writer(memory(), capacity, False, False)
    with pytest.raises(BufferError):
        fast.Writer(bytes(ring_bytes(CAPACITY)), CAPACITY, False, False)


@needs_extension
def test_wrong_calls_are_the_callers_mistake_and_say_so(fast: ModuleType) -> None:
    writer = fast.Writer(memory(), CAPACITY, False, False)
    mistakes: list[Callable[[], object]] = [
        lambda: writer.put(1, 2),
        lambda: writer.record(1),
        lambda: writer.record(1, 2, 3, 4),
        lambda: writer.record(1, 2, colour=3),
        lambda: writer.record(1, 2, event_id=3),
        lambda: fast.adopt(object()),
        lambda: fast.correlate_by(object()),
        lambda: fast.Timed(len),
    ]
    for wrong in mistakes:
        with pytest.raises(TypeError):
            wrong()


@needs_extension
def test_a_closed_writer_lets_its_memory_go_and_does_nothing(fast: ModuleType) -> None:
    space = memory()
    writer = fast.Writer(space, CAPACITY, False, False)
    span = writer.span(3)
    writer.close()
    writer.close()
    assert not writer.put(1, 2, 3)
    writer.record(1, 2)
    writer.heartbeat()
    with span:
        pass
    space.close()


@needs_extension
def test_a_span_may_be_inside_itself_and_counts_what_is_too_deep(fast: ModuleType) -> None:
    space = memory()
    writer = fast.Writer(space, CAPACITY, False, False)
    span = writer.span(3)
    for _ in range(20):
        span.__enter__()
    for _ in range(21):
        span.__exit__(None, None, None)
    header = memoryview(space).cast("Q")
    assert (header[HEAD], header[48]) == (16, 4)


@in_use
def test_a_record_allocates_nothing() -> None:
    ring = memory_ring("w", CAPACITY)
    assert ring.native is not None
    record, span = ring.native.record, ring.native.span(15)

    def many(times: range) -> None:
        for _ in times:
            record(15, 77)
            with span:
                pass
            with measure(15):
                pass

    many(range(10))
    gc.collect()
    blocks = []
    for _ in range(3):
        before = sys.getallocatedblocks()
        many(range(1000))
        blocks.append(sys.getallocatedblocks() - before)
    assert min(blocks) <= 1
    tracemalloc.start()
    try:
        many(range(10))
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            record(15, 77)
        # Less than a byte a record: what is there is the loop's own numbers.
        assert tracemalloc.get_traced_memory()[1] - before < 1000
    finally:
        tracemalloc.stop()


@in_use
def test_signal_handlers_gc_callbacks_and_threads_lose_nothing(metrics: MetricsCollector) -> None:
    """Four threads hammer rings of their own while a timer's handler and gc callbacks record too."""
    handled = collected = 0

    metrics.record(5, 5)  # the ring is there: what comes in while it is made may get one of its own

    def handler(_number: int, _frame: object) -> None:
        nonlocal handled
        handled += 1
        metrics.record(3, 5)

    def callback(phase: str, _info: dict[str, int]) -> None:
        nonlocal collected
        collected += 1
        metrics.record(4, 5)

    def work() -> None:
        for _ in range(5000):
            with measure(2):
                _ = [[]]

    before = signal.signal(signal.SIGALRM, handler)
    gc.callbacks.append(callback)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        work()
        for _ in range(20):
            gc.collect()
        for thread in threads:
            thread.join()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.callbacks.remove(callback)
        signal.signal(signal.SIGALRM, before)
    counts = {event: metrics.get_stats(event).count for event in (2, 3, 4)}
    assert counts == {2: 20_000, 3: handled, 4: collected}


@measure_sync(2)
def decorated(one: int, *, by: int = 1) -> float:
    """Divides."""
    return one / by


class Holder:
    @measure_sync(2)
    def method(self, more: int) -> tuple["Holder", int]:
        return self, more

    @staticmethod
    @measure_sync(2)
    def static(more: int) -> int:
        return more

    @classmethod
    @measure_sync(2)
    def of_class(cls, more: int) -> int:
        return more


@in_use
def test_a_decorated_function_is_like_the_function(metrics: MetricsCollector) -> None:
    assert (decorated.__name__, decorated.__doc__, decorated(6, by=2)) == ("decorated", "Divides.", 3)
    assert str(inspect.signature(decorated)) == "(one: int, *, by: int = 1) -> float"
    assert pickle.loads(pickle.dumps(decorated)) is decorated
    holder = Holder()
    assert holder.method(3) == (holder, 3)
    assert Holder.method(holder, 4) == (holder, 4)
    assert (holder.static(5), Holder.static(6), holder.of_class(7)) == (5, 6, 7)
    assert "decorated" in repr(decorated)
    with pytest.raises(TypeError):
        cast("Any", decorated)()
    assert metrics.get_stats(2).count == 7


def test_entries_carry_the_correlation_of_their_task(metrics: MetricsCollector) -> None:
    async def one(which: int) -> None:
        with correlate(which):
            await asyncio.sleep(0.001 * (which % 3))
            with measure(2):
                await asyncio.sleep(0.001)
            metrics.count(35, which)

    async def all_of_them() -> None:
        await asyncio.gather(*(one(which) for which in range(1, 9)))

    asyncio.run(all_of_them())
    metrics.record(2, 5)
    [(ring, _)] = metrics._threads.in_memory()
    into = _scratch(32)
    rows = into[: RingReader(ring.memory, ring.identity).drain(into).kept]
    carried = sorted((row[2] >> 32) for row in rows.tolist() if row[2] & 0xFFFFFF == 2)
    assert carried == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert all(row[2] >> 32 == row[1] for row in rows.tolist() if row[2] & 0xFFFFFF == 35)


@pytest.mark.parametrize("way", ["block", "pair", "record"])
def test_entries_that_python_writes_carry_the_correlation_too(way: str) -> None:
    ring, current = memory_ring("w", CAPACITY), ContextVar("current", default=0)
    calls = PythonCalls(lambda: ThreadPart(ring, lambda: 1.0))
    carried = []
    for which in (0, 7, (1 << 32) + 9):
        if which:
            calls.correlate_by(current)
            current.set(which)
        if way == "block":
            with calls.block(3):
                pass
        elif way == "pair":
            calls.record_end(3, calls.record_start(3))
        else:
            calls.record(3, 5)
        into = _scratch(4)
        kept = RingReader(ring.memory, ring.identity).drain(into).kept
        carried += [row[2] >> 32 for row in into[:kept].tolist()]
    assert carried == [0, 7, 9]
    ring.close()


def test_python_can_be_chosen_although_the_extension_is_there() -> None:
    assert native.load("python") == (None, "RINGLINE_TELEMETRY=python")


@needs_extension
def test_an_extension_of_other_sources_is_not_used(fast: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "LAYOUT", (1, 2, 3))
    assert native.load("")[0] is None
    assert "other sources" in native.load("")[1]


ENDING_THREAD = """
import threading
from pipeline.telemetry import MetricsCollector, measure

class Late:
    def __del__(self, measure=measure):  # free-threaded interpreters empty this module first
        with measure(2):  # after this thread's ring has gone, or before: never a crash
            pass

local = threading.local()

def work():
    local.late = Late()
    with measure(2):
        pass

for _ in range(50):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
late = Late()
print(MetricsCollector().get_stats(2).count >= 50)
"""


def test_what_a_thread_or_the_interpreter_destroys_last_may_still_record() -> None:
    ran = subprocess.run([sys.executable, "-c", ENDING_THREAD], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("True\n", "")


def _scratch(rows: int) -> Any:
    import numpy as np

    return np.zeros((rows, 4), dtype=np.int64)
