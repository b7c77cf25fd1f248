"""What a writer was doing when it died: never something that had ended, however it had ended."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.telemetry import layout, native, open_recorder
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.flight import find_flights, read_flight, timeline
from pipeline.telemetry.layout import Mode
from pipeline.telemetry.native import VARIABLE
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.recorder import Recorder, RingRecorder, _bind
from pipeline.telemetry.ring import create_ring, memory_ring
from pipeline.telemetry.source import MORE, Source
from pipeline.telemetry.starts import Starts, starts_in

found, why_not = native.load("")
CHOICES = ["", "python"]
MOST = limits.MAX_OPEN_STARTS

BEGINNING = """
import asyncio, sys, threading, time
from pathlib import Path
from pipeline.telemetry import EventID, MetricsCollector, correlate, measure, measure_async, measure_sync
m = MetricsCollector()
m.publish(Path(sys.argv[1]), "web-0", 1024)
A, B = EventID.ORDER_PLACEMENT, EventID.ORDER_FILL
"""
ENDED = {
    "sampled": """
m.set_sampling_rate(0.1)
for _ in range(300):
    with measure(A): pass
    m.record_end(B, m.record_start(B))
    measure_sync(A)(lambda: None)()
""",
    "sampled from its middle": """
started = m.record_start(A)
with measure(B):
    m.set_sampling_rate(0.01)
m.record_end(A, started)
""",
    "nothing kept": """
m.set_sampling_rate(0)
with measure(A): pass
""",
    "switched off meanwhile": """
started = m.record_start(A)
with measure(B):
    m.set_enabled(False)
m.record_end(A, started)
m.set_enabled(True)
""",
    "ended in another thread": """
begun, ended, block = [], threading.Event(), measure(B)
def other():
    begun.append(m.record_start(A))
    block.__enter__()
    ended.wait()
threading.Thread(target=other, daemon=True).start()
while not begun: time.sleep(0.01)
m.record_end(A, begun[0])
time.sleep(0.05)
block.__exit__(None, None, None)
""",
    "correlated meanwhile": """
started, block = m.record_start(A), measure(B)
block.__enter__()
with correlate("request 1"):
    m.record_end(A, started)
    block.__exit__(None, None, None)
""",
    "without room": """
for _ in range(2000):
    with measure(A): m.record(1, 5)
    m.record_end(B, m.record_start(B))
""",
    "tasks": """
@measure_async(A)
async def one(number):
    with correlate(number), measure(B): await asyncio.sleep(0.001 * (number % 7))
async def all_of_them(): await asyncio.gather(*(one(number) for number in range(200)))
asyncio.run(all_of_them())
""",
    "cancelled": """
@measure_async(A)
async def one():
    with measure(B): await asyncio.sleep(100)
async def all_of_them():
    tasks = [asyncio.ensure_future(one()) for _ in range(20)]
    await asyncio.sleep(0.01)
    for task in tasks: task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
asyncio.run(all_of_them())
""",
    "generators": """
@measure_sync(A)
def numbers(): yield from range(3)
@measure_async(B)
async def later():
    for number in range(3): yield number
list(numbers())
next(numbers())
async def all_of_them():
    async for _ in later(): pass
asyncio.run(all_of_them())
""",
    "recursive": """
@measure_sync(A)
def deep(left): return left and deep(left - 1)
deep(300)
""",
    "in a child": """
import os
with measure(A):
    if (child := os.fork()) == 0:
        with measure(B): pass
        os._exit(0)
    os.waitpid(child, 0)
""",
}
ENDED_BY_ANOTHER_NAME = {
    "another event": """
for _ in range(200):
    m.record_end(B, m.record_start(A))
""",
    "another time": """
for _ in range(200):
    m.record_end(A, m.record_start(A) - 5_000_000)
""",
    "another time beside one of its own": """
with measure(B):
    for _ in range(200):
        m.record_end(A, m.record_start(A) - 5_000_000)
""",
    "another event in another thread": """
begun = [m.record_start(A)]
thread = threading.Thread(target=lambda: m.record_end(B, begun[0]))
thread.start()
thread.join()
""",
    "no event": """
m.record_end("x", m.record_start(A))
m.record_end(5000, m.record_start(A))
""",
    "more than there is room for": """
begun = [m.record_start(A) for _ in range(300)]
for one in begun: m.record_end(A, one)
""",
    "more blocks than there is room for": """
blocks = [measure(A) for _ in range(300)]
for block in blocks: block.__enter__()
for block in blocks: block.__exit__(None, None, None)
""",
}
ENDED |= ENDED_BY_ANOTHER_NAME
WITHIN = """
with correlate(0xabc):
    m.record_start(A)
"""
WAITS = """
print("ready", flush=True)
time.sleep(100)
"""


def killed(directory: Path, program: str, choice: str, looked: Callable[[], object]) -> None:
    """Run it to its end, look, and kill it."""
    with subprocess.Popen(
        [sys.executable, "-c", BEGINNING + program + WAITS, str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, VARIABLE: choice},
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        looked()
        writer.kill()


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("how", ENDED)
def test_what_has_ended_is_not_what_a_writer_was_doing(
    tmp_path: Path, how: str, choice: str, within: bool
) -> None:
    collector = Collector(tmp_path)
    program = ENDED[how] + (WITHIN if within else "")
    killed(tmp_path, program, choice, lambda: collector.tick(final=True))
    collector.tick(final=True)
    expected = {"ORDER_PLACEMENT for event 00000abc"} if within else set()
    assert {name for dead in collector.dead for name in dead.inside} == expected
    collector.close()
    for path in find_flights(tmp_path, "web-0"):
        lines = [line for line in timeline(read_flight(path), 1) if "never ended" in line]
        assert all("ORDER_PLACEMENT begins  event 00000abc" in line for line in lines)


@pytest.mark.parametrize("choice", CHOICES)
def test_what_is_left_out_takes_no_room_and_may_still_be_what_a_writer_is_doing(
    tmp_path: Path, choice: str
) -> None:
    program = """
m.set_sampling_rate(0.01)
for _ in range(2000):
    with measure(A): pass
m.record_start(B)
"""
    collector = Collector(tmp_path)
    waiting: list[int] = []

    def look() -> None:
        [path] = tmp_path.glob("*.ring")
        reader = RingReader.attach(path)
        waiting.append(reader.waiting)
        reader.close()

    killed(tmp_path, program, choice, look)
    collector.tick(final=True)
    assert waiting == [20]
    assert collector.lost() == 0
    assert collector.dead[0].inside == ("ORDER_FILL",)
    latencies = collector.aggregate.latencies
    assert int(latencies.totals.row(0).sum()) == 2000
    collector.close()


@pytest.mark.parametrize("choice", CHOICES)
def test_calls_without_room_are_lost_once(tmp_path: Path, choice: str) -> None:
    program = """
for _ in range(2000):
    with measure(A): pass
"""
    collector = Collector(tmp_path)
    killed(tmp_path, program, choice, lambda: collector.tick(final=True))
    assert int(collector.aggregate.latencies.totals.row(0).sum()) == 1024
    assert collector.lost() == 2000 - 1024
    collector.close()


Step = tuple[bool, int]
"""Begin an event (True), or end the newest open one of its kind."""


@pytest.mark.parametrize("make", ["C", "Python"])
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(1, 5)), max_size=60))
def test_what_stands_there_is_what_has_not_ended(make: str, steps: list[Step]) -> None:
    if make == "C" and found is None:
        pytest.skip(why_not)
    ring = memory_ring("w", 64)
    recorder: Any = found.Writer(ring.memory, 64, False, False) if make == "C" and found else None
    starts, clock = Starts(ring.words), iter(range(1, 1000))
    under_way: list[tuple[int, int]] = []
    for begins, event_id in steps:
        if begins:
            at_ns = next(clock)
            if recorder is None:
                starts.begin(at_ns, event_id | 7 << 32)
            else:
                at_ns = recorder.start(event_id, 7)
            under_way.append((at_ns, event_id))
        elif mine := [one for one in under_way if one[1] == event_id]:
            under_way.remove(mine[-1])
            if recorder is None:
                assert starts.end(*mine[-1])
                assert not starts.end(*mine[-1]) or mine[-1] in under_way
            else:
                recorder.end(event_id, mine[-1][0], 9)
    header = ring.memory[: layout.ENTRIES_BYTE]
    assert [(one.at_ns, one.what) for one in starts_in(header)] == [
        (at_ns, event_id | 7 << 32) for at_ns, event_id in sorted(under_way)
    ]
    if recorder is not None:
        recorder.close()
    ring.close()


def extension() -> ModuleType:
    if found is None:
        pytest.skip(why_not)
    return found


@pytest.mark.parametrize("make", ["C", "Python"])
def test_more_than_there_is_room_for_are_said_to_be_more(tmp_path: Path, make: str) -> None:
    ring = create_ring(tmp_path, "w-0", 64)
    assert ring.path is not None
    writer = extension().Writer(ring.memory, 64, False, False) if make == "C" else None
    begun = []
    for number in range(MOST + 5):
        if writer is None:
            ring.starts.begin(number + 1, 3)
            begun.append(number + 1)
        else:
            begun.append(writer.start(3))
    source = Source(RingReader.attach(ring.path))
    assert source.inside(0) == ("ORDER_PLACEMENT",) * MOST + (MORE,)
    for at_ns in begun:
        if writer is None:
            ring.starts.end(at_ns, 3)
        else:
            writer.end(3, at_ns)
    assert source.inside(0) == ()
    if writer is None:  # all places are free again
        ring.starts.begin(1, 3)
    else:
        writer.start(3)
        writer.close()
    assert source.inside(0) == ("ORDER_PLACEMENT",)
    source.reader.close()
    ring.close()


@pytest.mark.parametrize("choice", CHOICES)
def test_what_is_under_way_is_told_beside_many_that_nobody_ended(tmp_path: Path, choice: str) -> None:
    program = """
def fails():
    started = m.record_start(A)
    raise KeyError
    m.record_end(A, started)
for _ in range(200):
    try: fails()
    except KeyError: pass
m.record_start(B)
"""
    collector = Collector(tmp_path)
    killed(tmp_path, program, choice, lambda: collector.tick(final=True))
    collector.tick(final=True)
    inside = collector.dead[0].inside
    assert (len(inside), inside[0], *inside[-2:]) == (MOST + 1, "ORDER_PLACEMENT", "ORDER_FILL", MORE)
    collector.close()


@pytest.mark.parametrize("make", ["C", "Python"])
def test_who_ends_with_another_time_or_event_ends_the_likeliest(make: str) -> None:
    ring = memory_ring("w", 64)
    if make == "C":
        recorder: Any = extension().Writer(ring.memory, 64, False, False)
    else:
        recorder = Recorder()
        _bind(recorder, ring.put, time.monotonic_ns, ring.starts)

    def under_way() -> list[int]:
        return [one.what for one in starts_in(ring.memory[: layout.ENTRIES_BYTE])]

    first, second, third = recorder.start(3), recorder.start(4), recorder.start(3)
    recorder.end(3, third - 1)  # another time: the newest of the event
    assert under_way() == [3, 4]
    recorder.end(5, second)  # another event: what began then
    assert under_way() == [3]
    recorder.end(5, 7)  # neither
    assert under_way() == [3]
    recorder.end("x", first)
    assert under_way() == []
    if make == "C":
        recorder.close()
    ring.close()


@pytest.mark.parametrize("make", ["C", "Python"])
def test_what_made_room_for_a_newer_one_ends_no_other(make: str) -> None:
    ring = memory_ring("w", 64)
    if make == "C":
        recorder: Any = extension().Writer(ring.memory, 64, False, False)
    else:
        recorder = Recorder()
        _bind(recorder, ring.put, iter(range(1, 10_000)).__next__, ring.starts)

    def under_way() -> list[int]:
        return [one.at_ns for one in starts_in(ring.memory[: layout.ENTRIES_BYTE])]

    begun = [recorder.start(3) for _ in range(MOST + 5)]
    assert under_way() == begun[5:]
    for at_ns in begun[:5]:
        recorder.end(3, at_ns)
    assert under_way() == begun[5:]
    for at_ns in begun[5:]:
        recorder.end(3, at_ns)
    assert under_way() == []
    if make == "C":
        recorder.close()
    ring.close()


@pytest.mark.parametrize(
    ("age_s", "told"),
    [
        (59, "ORDER_PLACEMENT for event 00000007"),
        (60, "ORDER_PLACEMENT for event 00000007 for 1 min"),
        (3 * 3600 + 5, "ORDER_PLACEMENT for event 00000007 for 3 h"),
        (50 * 3600, "ORDER_PLACEMENT for event 00000007 for 2 d"),
    ],
)
def test_a_claim_says_how_long_it_has_been_so_when_that_is_long(
    tmp_path: Path, age_s: int, told: str
) -> None:
    recorder = open_recorder(tmp_path, "web-0", 64)
    [path] = tmp_path.glob("*.ring")
    started_ns = recorder.start(3, 7)
    source = Source(RingReader.attach(path))
    assert source.inside(started_ns + age_s * 10**9) == (told,)
    source.reader.close()
    recorder.close()


def test_two_calls_of_one_event_may_begin_at_one_time() -> None:
    ring = memory_ring("w", 64)
    ring.starts.begin(5, 3)
    ring.starts.begin(5, 3)
    assert ring.starts.end(5, 3)
    assert len(starts_in(ring.memory[: layout.ENTRIES_BYTE])) == 1
    assert ring.starts.end(5, 3)
    assert starts_in(ring.memory[: layout.ENTRIES_BYTE]) == []
    ring.close()


@pytest.mark.parametrize("mode", list(Mode))
def test_who_is_killed_between_the_entry_and_the_wiping_has_ended_the_call(
    tmp_path: Path, mode: Mode
) -> None:
    recorder = open_recorder(tmp_path, "w-0", 64, mode=mode)
    assert isinstance(recorder, RingRecorder)
    assert recorder.ring.path is not None
    recorder.record(4, 9)
    started = recorder.start(3, 7)
    recorder.start(5, 7)
    recorder.ring.put(started + 100, 100, 3 | 7 << 32)
    reader = RingReader.attach(recorder.ring.path)
    assert [one.what for one in reader.under_way()] == [5 | 7 << 32]
    reader.close()
    recorder.close()


@pytest.mark.parametrize("wrong", [0, -1, 4096, 1 << 64, None, "x", 1.5, object()])
def test_what_cannot_be_named_stands_nowhere(wrong: Any) -> None:
    ring = memory_ring("w", 64)
    recorder = RingRecorder(ring)
    started = recorder.start(wrong)
    recorder.end(wrong, started)
    recorder.start(3, wrong) if wrong != 4096 else None
    ring.starts.begin(5, wrong) if wrong != 4096 else None
    names = [one.what for one in starts_in(ring.memory[: layout.ENTRIES_BYTE])]
    assert names in ([], [3])
    for _ in range(2 * MOST):
        ring.starts.begin(5, 3 | 1 << 64)
    ring.starts.begin(6, 4)  # no place was lost by it
    assert starts_in(ring.memory[: layout.ENTRIES_BYTE])[-1].what == 4
    recorder.close()
