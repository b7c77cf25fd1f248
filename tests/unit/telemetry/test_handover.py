"""What was recorded before `publish` or before other windows: nothing of it is gone in silence."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import limits
from pipeline.telemetry import EventID, MetricsCollector, MetricsStats, register_event
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.handover import hand_over
from pipeline.telemetry.native import VARIABLE
from pipeline.telemetry.ring import Ring, memory_ring

EVENT = EventID.ORDER_PLACEMENT


@pytest.fixture
def metrics() -> Iterator[MetricsCollector]:
    one = MetricsCollector()
    one.clear()
    yield one
    one.clear()


def calls_in(collector: Collector) -> int:
    return collector.aggregate.latencies.totals.calls


PROGRAM = """
import sys, threading
from pathlib import Path
from pipeline.telemetry import EventID, MetricsCollector, correlate, register_event
m = MetricsCollector()
def some():
    with correlate(7):
        for _ in range(100): m.record(3, 5)
some()
thread = threading.Thread(target=some); thread.start(); thread.join()
m.count(EventID.HANDLED, 7)
m.record(register_event("checkout"), 9)
m.count(EventID.HANDLED, "x")
m.record(3, "x")
m.publish(sys.argv[1], "web-0", 64)
for _ in range(10): m.record(3, 5)
"""


@pytest.mark.parametrize("choice", ["", "python"])
def test_records_made_before_publishing_are_the_collectors(tmp_path: Path, choice: str) -> None:
    environment = {**os.environ, VARIABLE: choice}
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], check=True, env=environment)
    collector = Collector(tmp_path)
    collector.tick(final=True)
    assert calls_in(collector) == 211
    assert collector.aggregate.entries == 212
    totals = dict(collector.aggregate.counters.totals())
    assert {(key.subject, key.event_id, key.which): n for key, n in totals.items() if n} == {
        ("web-0", EventID.HANDLED, 0): 7,
        ("web", 0, 0): 1,
        ("web", 0, 3): 1,
    }
    collector.close()


def test_what_was_told_here_is_not_told_again(metrics: MetricsCollector, tmp_path: Path) -> None:
    for _ in range(5):
        metrics.record(EVENT, 5)
    assert metrics.get_stats(EVENT).count == 5
    metrics.record(EVENT, 5)
    collector = Collector(tmp_path)
    metrics.publish(tmp_path, "web-0", 64)
    collector.tick(final=True)
    assert (calls_in(collector), collector.lost()) == (1, 0)
    collector.close()


def test_what_was_read_for_nobody_is_told_as_lost(metrics: MetricsCollector, tmp_path: Path) -> None:
    for _ in range(5):
        metrics.record(EVENT, 5)
    metrics._relieve()  # as many threads would
    metrics.record(EVENT, 5)
    collector = Collector(tmp_path)
    metrics.publish(tmp_path, "web-0", 64)
    collector.tick(final=True)
    assert (calls_in(collector), collector.lost()) == (1, 5)
    collector.close()


def test_a_process_that_recorded_nothing_hands_nothing_over(
    metrics: MetricsCollector, tmp_path: Path
) -> None:
    metrics.publish(tmp_path, "web-0", 64)
    assert list(tmp_path.iterdir()) == []


def test_sampled_records_keep_their_weight(metrics: MetricsCollector, tmp_path: Path) -> None:
    metrics.set_sampling_rate(0.1)
    for _ in range(1000):
        metrics.record(EVENT, 5)
    collector = Collector(tmp_path)
    metrics.publish(tmp_path, "web-0", 64)
    collector.tick(final=True)
    assert calls_in(collector) == 1000
    assert collector.sources == [] or collector.sources[0].reader.most_calls >= 10
    collector.close()


def test_without_a_directory_there_is_one_warning(
    metrics: MetricsCollector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    metrics.record(EVENT, 5)
    metrics.publish(tmp_path / "file", "web-0", 64)
    metrics.record(EVENT, 5)
    assert caplog.text.count("telemetry is off") == 1


def test_threads_that_still_record_go_on_in_the_new_rings(metrics: MetricsCollector, tmp_path: Path) -> None:
    collector, go, done = Collector(tmp_path), threading.Event(), threading.Barrier(5)

    def record_twice() -> None:
        metrics.record(EVENT, 5)
        done.wait()
        go.wait()
        metrics.record(EVENT, 5)

    threads = [threading.Thread(target=record_twice) for _ in range(4)]
    for thread in threads:
        thread.start()
    done.wait()
    metrics.publish(tmp_path, "web-0", 64)
    go.set()
    for thread in threads:
        thread.join()
    collector.tick(final=True)
    assert (calls_in(collector), collector.lost()) == (8, 0)
    collector.close()


def test_what_finds_no_room_is_counted_with_its_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DEFAULT_RING_ENTRIES", 64)
    ring = memory_ring("w", 128)
    ring.announce(11)
    for number in range(100):
        ring.put(number, number, 3 | 10 << 12)
    made: list[Ring] = []
    dropped: list[int] = []

    class Kept(Ring):
        def close(self) -> None:
            dropped.append(self.dropped)
            super().close()

    def make(entries: int) -> Ring:
        one = memory_ring("w", entries)
        made.append(Kept(one.memory, one.identity, None, -1))
        return made[0]

    hand_over([ring], 3, make)
    assert made[0].identity.capacity == 64
    assert dropped == [36 * 11 + 3]
    ring.close()


def test_other_windows_begin_with_the_figures_so_far(metrics: MetricsCollector) -> None:
    for number in range(50):
        metrics.record(EVENT, 1000 + number)
    metrics.count(EventID.HANDLED, 7)
    metrics.gauge(EventID.QUEUE_BACKLOG, 4)
    metrics.record(EVENT, -1)
    before = metrics.get_stats(EVENT)
    metrics.start(windows_seconds=(2, 120))
    metrics.stop()
    after = metrics.get_stats(EVENT, 2)
    assert (after.count, after.min, after.max, after.mean) == (50, 1000, 1049, before.mean)
    assert metrics.get_stats(EVENT, 120).p99 == before.p99
    assert metrics.get_count(EventID.HANDLED) == metrics.get_count(EventID.HANDLED, 120) == 7
    assert metrics.get_gauge(EventID.QUEUE_BACKLOG) == 4
    assert metrics.get_refused() == {"absurd_value": 1}
    metrics.record(EVENT, 5)
    metrics.record(register_event("after other windows"), 5)
    assert metrics.get_stats(EVENT, 120).count == 51
    assert len(metrics.get_all_stats()) == 2


def test_what_other_windows_began_with_leaves_them_in_time() -> None:
    clock = [10**12]
    old = MetricsStats(now=lambda: clock[0])
    old.add(EVENT, [5])
    clock[0] += 3 * 10**9
    old.add(EVENT, [7, 9])
    new = MetricsStats((2, 30), now=lambda: clock[0])
    new.take_over(old)
    assert (new.get_stats(EVENT, 2).count, new.get_stats(EVENT, 30).count) == (2, 3)
    assert (new.get_stats(EVENT, 2).min, new.get_stats(EVENT, 30).min) == (7, 5)
    clock[0] += 2 * 10**9 + 10**8
    assert (new.get_stats(EVENT, 2).count, new.get_stats(EVENT, 30).count) == (0, 3)
    clock[0] += 30 * 10**9
    assert new.get_stats(EVENT, 30).count == 0
    assert new.calls == 3


@pytest.mark.parametrize("wrong", [(), (float("inf"),), (float("nan"),), ("a",), (0,), (None,), 5, (1e9,)])
def test_windows_that_cannot_be_are_refused_by_name(metrics: MetricsCollector, wrong: object) -> None:
    with pytest.raises(ValueError, match="windows_seconds = "):
        metrics.start(windows_seconds=wrong)  # type: ignore[arg-type]
    assert metrics.get_stats(EVENT, 60).count == 0
