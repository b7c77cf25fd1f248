"""Opening a thread's ring: whatever goes wrong stays here, and gives back what was made."""

import fcntl
import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.telemetry import EventID, MetricsCollector, measure, measure_sync, open_recorder, ring
from pipeline.telemetry.alive import Alive
from pipeline.telemetry.native import VARIABLE
from pipeline.telemetry.thread_rings import ThreadRings

EVENT = EventID.ORDER_PLACEMENT
CHOICES = ["", "python"]
OPEN_FILES = Path("/proc/self/fd")


@pytest.fixture
def metrics() -> Iterator[MetricsCollector]:
    one = MetricsCollector()
    one.clear()
    yield one
    one.clear()


class One:
    pass


def test_what_lives_may_be_looked_through_while_it_changes() -> None:
    alive: Alive[One] = Alive()
    kept = [One() for _ in range(50)]
    for one in kept:
        alive.add(one)
    ended = threading.Event()
    failed: list[BaseException] = []

    def change() -> None:
        while not ended.is_set():
            more = [One() for _ in range(20)]
            for one in more:
                alive.add(one)
            alive.discard(more[0])

    def look() -> None:
        try:
            for _ in range(2000):
                assert len(alive.all()) >= 50
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=change), *(threading.Thread(target=look) for _ in range(3))]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads[1:]:
            thread.join()
    finally:
        sys.setswitchinterval(before)
        ended.set()
        threads[0].join()
    assert failed == []
    gc.collect()
    assert {id(one) for one in alive.all()} == {id(one) for one in kept}
    alive.discard(kept[0])
    alive.discard(kept[0])
    del one, kept[:]
    gc.collect()
    assert alive.all() == []


MANY = """
import gc, json, os, sys, threading, time
from pathlib import Path
from pipeline.telemetry import MetricsCollector, measure
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.discovery import CollectorLock
sys.setswitchinterval(1e-5)
unraisable, raised, ran, calls = [], [], [], []
sys.unraisablehook = lambda told: unraisable.append(repr(told.exc_value))
metrics, directory = MetricsCollector(), Path(sys.argv[1])
lock, collector = CollectorLock(directory), Collector(directory)
metrics.publish(directory, "web-0", 64)
def once():
    calls.append(1)
    try:
        with measure(3): ran.append(1)
    except BaseException as error: raised.append(repr(error))
leave = threading.Event()
def stay():
    once()
    leave.wait()
living = [threading.Thread(target=stay) for _ in range(100)]
for thread in living: thread.start()
for _ in range(20):
    some = [threading.Thread(target=once) for _ in range(32)]
    for thread in some: thread.start()
    for thread in some: thread.join()
    collector.tick()
leave.set()
for thread in living: thread.join()
gc.collect()
collector.tick(final=True); collector.tick(final=True)
row = collector.aggregate.latencies.totals.row(0)
print(json.dumps({
    "calls": len(calls), "ran": len(ran), "raised": raised, "unraisable": unraisable,
    "counted": int(row.sum()), "lost": collector.lost(), "rings": len(collector.sources),
    "files": sum(name.endswith(".ring") for name in os.listdir(directory)),
}))
"""


@pytest.mark.parametrize("choice", CHOICES)
def test_threads_that_open_and_close_rings_at_one_time_lose_nothing(tmp_path: Path, choice: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", MANY, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, VARIABLE: choice},
    )
    told = json.loads(ran.stdout)
    assert told.pop("calls") == told.pop("ran") == told.pop("counted")
    assert told == {"raised": [], "unraisable": [], "lost": 0, "rings": 0, "files": 0}


def ways(metrics: MetricsCollector) -> dict[str, Callable[[], object]]:
    def block() -> None:
        with measure(EVENT):
            ran.append(1)

    ran: list[int] = []
    return {
        "block": block,
        "decorated": measure_sync(EVENT)(lambda: ran.append(1)),
        "record": lambda: metrics.record(EVENT, 5),
        "pair": lambda: metrics.record_end(EVENT, metrics.record_start(EVENT)),
        "count": lambda: metrics.count(EventID.HANDLED),
        "gauge": lambda: metrics.gauge(EventID.QUEUE_BACKLOG, 5),
    }


WRONG = (RuntimeError("Set changed size"), TypeError("no path"), MemoryError(), AttributeError("x"))


@pytest.mark.parametrize("way", ["block", "decorated", "record", "pair", "count", "gauge"])
@pytest.mark.parametrize("error", WRONG, ids=lambda one: type(one).__name__)
def test_whatever_goes_wrong_is_one_warning_and_never_reaches_the_caller(
    metrics: MetricsCollector,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    way: str,
    error: Exception,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(ring.Ring, "bound_left", fail)
    metrics.publish(tmp_path, "web-0", 64)
    ways(metrics)[way]()
    ways(metrics)[way]()
    assert caplog.text.count("telemetry is off in threads that get no ring") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["Ring", "remove_oldest", "_map_draft"])
def test_a_ring_that_cannot_be_made_gives_back_file_lock_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    before = len(list(OPEN_FILES.iterdir()))
    monkeypatch.setattr(ring, place, fail)
    with pytest.raises(RuntimeError, match="no"):
        ring.create_ring(tmp_path, "web-0", 64)
    assert not open_recorder(tmp_path, "web-0", 64).on
    assert "telemetry of web-0 is off" in caplog.text
    assert list(tmp_path.iterdir()) == []
    gc.collect()
    assert len(list(OPEN_FILES.iterdir())) == before


def test_a_ring_whose_leaving_fails_lets_go_of_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = ring.create_ring(tmp_path, "web-0", 64)
    one.put(1, 1, 3)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(ring, "remove_oldest", fail)
    with pytest.raises(RuntimeError, match="no"):
        one.close()
    assert one.path is not None
    fd = os.open(one.path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)


def test_a_ring_is_kept_although_those_of_ended_threads_cannot_be_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise RuntimeError("no")

    rings = ThreadRings(lambda: 1.0, lambda: False, lambda _calls, _at: None, fail)
    parts = [rings.open() for _ in range(70)]
    assert all(part.ring is not None for part in parts)
    assert caplog.text.count("no") >= 1
    rings.close()


PUBLISHED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"directory": 5}, TypeError, "directory = 5"),
    ({"directory": b"/dev/shm"}, TypeError, "directory = b"),
    ({"directory": ""}, TypeError, "directory = ''"),
    ({"worker": None}, TypeError, "worker = None"),
    ({"worker": ""}, ValueError, "1 to 64 bytes"),
    ({"worker": "w" * 65}, ValueError, "1 to 64 bytes"),
    ({"worker": "a/b"}, ValueError, "no '/'"),
    ({"worker": ".a"}, ValueError, "no leading"),
    ({"worker": "a\nb"}, ValueError, "printable"),
    ({"worker": "a\udc80"}, ValueError, "printable"),
    ({"entries": "x"}, TypeError, "entries = 'x'"),
    ({"entries": True}, TypeError, "entries = True"),
    ({"entries": 100}, ValueError, "ring entries 100: a power of two from 64"),
    ({"entries": 32}, ValueError, "ring entries 32"),
    ({"entries": 1 << 30}, ValueError, "ring entries"),
    ({"mode": 7}, ValueError, "mode = 7"),
    ({"mode": "x"}, ValueError, "mode = 'x'"),
]


@pytest.mark.parametrize(("wrong", "kind", "told"), PUBLISHED, ids=lambda one: str(one)[:30])
def test_publishing_what_cannot_be_is_refused_at_once(
    metrics: MetricsCollector, tmp_path: Path, wrong: dict[str, Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        metrics.publish(**{"directory": tmp_path, "worker": "web-0", "entries": 64, **wrong})
    metrics.record(EVENT, 5)  # nothing has changed
    assert metrics.get_stats(EVENT).count == 1


def test_a_directory_may_be_text(metrics: MetricsCollector, tmp_path: Path) -> None:
    metrics.publish(str(tmp_path), "web-0", 64)
    metrics.record(EVENT, 5)
    assert len(list(tmp_path.glob("*.ring"))) == 1
    recorder = open_recorder(str(tmp_path), "web-1", 64)  # type: ignore[arg-type]
    assert recorder.on
    recorder.close()
