"""Figures of the telemetry bench that one process can take by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pipeline import limits
from pipeline.telemetry import layout
from pipeline.telemetry.aggregate import Aggregate, Span
from pipeline.telemetry.layout import ENTRY_WORDS, Identity, Mode, Proof
from pipeline.telemetry.native import VARIABLE
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.recorder import SHARED_MEMORY
from pipeline.telemetry.ring import memory_ring
from pipeline.telemetry.sketch import Sketch
from pipeline.telemetry.source import Source

REPEATS = 7
CAPACITY = 1 << 16
IDLE_RINGS = 32

_ALLOCATIONS = """
import gc, json, sys, tracemalloc
from pipeline.telemetry.recorder import RingRecorder
from pipeline.telemetry.ring import memory_ring
recorder = RingRecorder(memory_ring("bench", 1 << 16))
record = recorder.record
def many(count, record=record):
    for _ in range(count):
        record(15, 77)
def none(count):
    for _ in range(count):
        pass
def left(work):
    gc.collect()
    before = sys.getallocatedblocks()
    work(10_000)
    return sys.getallocatedblocks() - before
many(10)
blocks = min(left(many) - left(none) for _ in range(5))
def peak(work):
    gc.collect()
    work(10)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    work(10_000)
    return tracemalloc.get_traced_memory()[1] - before
tracemalloc.start()
peaks = min(peak(many) - peak(none) for _ in range(5))
print(json.dumps([blocks, peaks]))
"""
_IMPORT = "import sys, pipeline.telemetry; print('zmq' in sys.modules)"


def allocations(choice: str) -> tuple[int, int]:
    """(memory blocks left behind by 10,000 records, highest memory during them in bytes); both beyond an
    empty loop's."""
    ran = _python(_ALLOCATIONS, {**os.environ, VARIABLE: choice})
    blocks, peak = json.loads(ran)
    return blocks, peak


def import_ms() -> tuple[float, bool]:
    """(time that importing the package adds to an interpreter's start, best of several; loads it zmq?)."""
    bare = min(_start_ms("pass") for _ in range(REPEATS))
    return min(_start_ms(_IMPORT) for _ in range(REPEATS)) - bare, _python(_IMPORT).strip() == "True"


def drain_per_s(batch: int) -> float:
    """Proven entries a second out of a full ring's file, as a collector reads it, on one core."""
    into = np.empty((batch, ENTRY_WORDS), dtype=np.int64)
    best = 0.0
    with _full_ring() as path:
        for _ in range(REPEATS):
            reader, taken = _from_the_beginning(path), 0
            begun = time.perf_counter()
            while taken < CAPACITY:
                taken += reader.drain(into).kept
            best = max(best, taken / (time.perf_counter() - begun))
            reader.close()
    return best


def fold_per_s(batch: int) -> float:
    """The same with all that the collector does with them: windows, totals, counters."""
    into = np.empty((batch, ENTRY_WORDS), dtype=np.int64)
    best, aggregate = 0.0, Aggregate()
    with _full_ring() as path:
        for _ in range(REPEATS):
            source, taken = Source(_from_the_beginning(path)), 0
            aggregate.advance(time.monotonic_ns())
            begun = time.perf_counter()
            while taken < CAPACITY:
                kept = source.reader.drain(into).kept
                aggregate.fold(into[:kept], [Span(source, 0, kept)], time.monotonic_ns())
                taken += kept
            best = max(best, taken / (time.perf_counter() - begun))
            source.reader.close()
    return best


def percentile_speed() -> tuple[float, float]:
    """(values a second into a sketch and out as four percentiles, times the speed of numpy.percentile), by
    processor time, in turns, the best of each."""
    values = np.random.default_rng(1).lognormal(12, 1, 1_000_000).astype(np.int64)
    ours, theirs = 1e9, 1e9
    for _ in range(REPEATS):
        begun = time.thread_time()
        sketch = Sketch()
        sketch.add(values)
        sketch.quantiles()
        ours = min(ours, time.thread_time() - begun)
        begun = time.thread_time()
        np.percentile(values, (50, 95, 99, 99.9))
        theirs = min(theirs, time.thread_time() - begun)
    return len(values) / ours, theirs / ours


def idle_ring_bytes() -> float:
    """Memory that a thread's ring takes which has recorded once."""
    before = _resident_bytes()
    rings = [memory_ring("idle", limits.DEFAULT_RING_ENTRIES) for _ in range(IDLE_RINGS)]
    for ring in rings:
        ring.put(1, 2, 3)
    taken = (_resident_bytes() - before) / IDLE_RINGS
    for ring in rings:
        ring.close()
    return taken


@contextmanager
def _full_ring() -> Iterator[Path]:
    """A ring's file of CAPACITY entries, none of them taken."""
    entries = np.empty((CAPACITY, ENTRY_WORDS), dtype=np.int64)
    entries[:, 0] = time.monotonic_ns()
    entries[:, 1] = np.random.default_rng(1).lognormal(12, 1, CAPACITY)
    entries[:, 2] = 9 + np.arange(CAPACITY) % 13
    entries[:, 3] = np.arange(1, CAPACITY + 1)
    words = np.zeros(layout.ENTRIES, dtype=np.int64)
    words[layout.HEAD] = CAPACITY
    identity = Identity(CAPACITY, Mode.DROP_NEWEST, Proof.SEQUENCE, 1, 1, 1, "bench-0")
    line = layout.pack_identity(identity)
    where = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="ringline-bench-", dir=where) as folder:
        path = Path(folder, "bench-0.ring")
        path.write_bytes(line + words.tobytes()[len(line) :] + entries.tobytes())
        yield path


def _from_the_beginning(path: Path) -> RingReader:
    with path.open("r+b") as file:
        file.seek(layout.TAIL_BYTE)
        file.write(bytes(layout.WORD_BYTES))
    return RingReader.attach(path)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _start_ms(code: str) -> float:
    begun = time.perf_counter()
    _python(code)
    return (time.perf_counter() - begun) * 1000


def _python(code: str, environment: dict[str, str] | None = None) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
