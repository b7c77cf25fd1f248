"""`MetricsCollector`, `measure`, `measure_sync`, `measure_async`: telemetry of one process."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import limits
from pipeline.errors import UsageError
from pipeline.telemetry import (
    EventID,
    MetricsCollector,
    MetricsStats,
    SLAThreshold,
    measure,
    measure_async,
    measure_sync,
    open_recorder,
)
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.layout import Mode
from pipeline.telemetry.native import VARIABLE
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.recorder import GAUGE_BITS
from pipeline.telemetry.ring import memory_ring
from pipeline.telemetry.source import Source

EVENT = EventID.ORDER_PLACEMENT


@pytest.fixture
def metrics() -> Iterator[MetricsCollector]:
    one = MetricsCollector()
    one.clear()
    yield one
    one.clear()


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def count(metrics: MetricsCollector, event_id: int = EVENT) -> int:
    return metrics.get_stats(event_id).count


def test_there_is_one_collector_a_process(metrics: MetricsCollector) -> None:
    assert MetricsCollector() is metrics


def test_figures_can_be_asked_for_at_once(metrics: MetricsCollector) -> None:
    for _ in range(3):
        metrics.record_end(EVENT, metrics.record_start(EVENT))
    metrics.record(EVENT, 1_000_000)
    found = metrics.get_stats(EVENT, window_seconds=5)
    assert (found.event_id, found.window_seconds, found.count) == (EVENT, 5, 4)
    assert found.max == 1_000_000
    assert found.p50 is not None
    assert found.p50 < 1_000_000
    assert found.lost == 0


def test_an_event_never_seen_has_no_figures(metrics: MetricsCollector) -> None:
    found = metrics.get_stats(EventID.ORDER_FILL, 1)
    assert (found.count, found.p50, found.mean) == (0, None, None)


def test_a_window_that_is_not_kept_is_refused_with_those_that_are(metrics: MetricsCollector) -> None:
    with pytest.raises(ValueError, match="these are kept: 1, 5, 60"):
        metrics.get_stats(EVENT, 61)
    with pytest.raises(ValueError, match=r"from 0\.1"):
        metrics.get_stats(EVENT, 0.05)


def test_any_shorter_window_can_be_asked_for(metrics: MetricsCollector) -> None:
    metrics.record(EVENT, 5)
    metrics.record(EVENT, 50)
    for window in (0.5, 3, 7.5, 59):
        found = metrics.get_stats(EVENT, window)
        assert (found.window_seconds, found.count, found.min, found.max) == (window, 2, 5, 50)


def test_counters_gauges_and_backlog_stand_beside_latencies(metrics: MetricsCollector) -> None:
    metrics.count(EventID.HANDLED, 3)
    metrics.count(EventID.HANDLED)
    metrics.record_backlog(7)
    metrics.record_backlog(2)
    metrics.gauge("x", 3)  # type: ignore[arg-type]
    assert (metrics.get_count(EventID.HANDLED), metrics.get_count(EventID.HANDLED, 5)) == (4, 4)
    assert (metrics.get_gauge(EventID.QUEUE_BACKLOG), metrics.get_gauge(EVENT)) == (2, None)
    assert (metrics.get_stats(EVENT).lost, metrics.get_refused()) == (0, {"dropped_count_or_gauge": 1})


def test_a_stall_counts_for_the_calls_that_it_kept_away(metrics: MetricsCollector) -> None:
    for _ in range(99):
        metrics.record(EVENT, 1_000_000)
    metrics.record(EVENT, 1_000_000_000)
    plain = metrics.get_stats(EVENT)
    corrected = metrics.get_stats(EVENT, expected_interval_ns=10_000_000)
    assert (plain.count, corrected.count) == (100, 199)
    assert plain.p95 == pytest.approx(1_000_000, rel=0.004)
    assert corrected.p95 is not None
    assert corrected.p95 > 800_000_000


def test_windows_can_be_chosen(metrics: MetricsCollector) -> None:
    metrics.start(windows_seconds=(10, 2))
    metrics.record(EVENT, 5)
    assert metrics.get_stats(EVENT, 10).count == 1
    assert metrics.get_all_stats(2)[EVENT].count == 1


def test_figures_over_no_window_in_particular_are_of_one_that_is_kept(metrics: MetricsCollector) -> None:
    metrics.start(windows_seconds=(1, 5))
    metrics.record(EVENT, 5)
    assert (metrics.get_stats(EVENT).count, metrics.get_stats(EVENT).window_seconds) == (1, 5)
    assert metrics.get_all_stats()[EVENT].count == 1
    assert metrics.check_sla_violations() == []
    assert json.loads(metrics.export_json())["window_seconds"] == 5


def test_ones_own_thresholds_are_judged_whatever_windows_are_chosen(metrics: MetricsCollector) -> None:
    metrics.set_thresholds([SLAThreshold(EVENT, 50, 10)])
    metrics.start(windows_seconds=(1, 5))
    for _ in range(10):
        metrics.record(EVENT, 100)
    assert [one.threshold.limit_ns for one in metrics.check_sla_violations()] == [10]


def test_a_log_handler_that_raises_ends_no_report(metrics: MetricsCollector) -> None:
    reports: list[str] = []

    class Raising(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            reports.append(record.getMessage())
            raise RuntimeError("handler")

    log = logging.getLogger("pipeline.telemetry.metrics")
    handler, level = Raising(), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        metrics.record(EVENT, 5)
        metrics.start(report_every_seconds=0.1)
        until(lambda: len(reports) >= 2)
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def test_started_it_aggregates_by_itself_and_stopped_it_keeps_its_figures(metrics: MetricsCollector) -> None:
    metrics.start()
    metrics.start()
    metrics.record(EVENT, 5)
    [(ring, _)] = metrics._threads.in_memory()
    until(lambda: ring.waiting == 0)
    metrics.record(EVENT, 5)
    metrics.stop()
    metrics.stop()
    assert ring.waiting == 0
    assert count(metrics) == 2


def test_switched_off_it_records_nothing_at_once(metrics: MetricsCollector) -> None:
    started = metrics.record_start(EVENT)
    metrics.set_enabled(False)
    metrics.record_end(EVENT, started)
    assert metrics.record_start(EVENT) == 0
    metrics.record(EVENT, 5)
    metrics.set_enabled(True)
    metrics.record_end(EVENT, 0)
    assert count(metrics) == 0


def test_each_thread_has_a_ring_which_ends_with_it(metrics: MetricsCollector) -> None:
    def record() -> None:
        for _ in range(100):
            metrics.record(EVENT, 5)

    threads = [threading.Thread(target=record) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(metrics._threads.in_memory()) == 5
    assert count(metrics) == 500
    assert not metrics._threads.in_memory()


def test_threads_that_come_and_go_leave_no_ring_though_nobody_asks(metrics: MetricsCollector) -> None:
    for _ in range(300):
        thread = threading.Thread(target=lambda: metrics.record(EVENT, 5))
        thread.start()
        thread.join()
    assert len(metrics._threads.in_memory()) <= 66
    assert count(metrics) == 300


def test_sampling_keeps_the_count(metrics: MetricsCollector) -> None:
    metrics.set_sampling_rate(0.1)
    for _ in range(1000):
        metrics.record(EVENT, 5)
    [(ring, _)] = metrics._threads.in_memory()
    assert ring.waiting < 120
    assert count(metrics) == pytest.approx(1000, abs=10)
    metrics.set_sampling_rate(0)
    metrics.record(EVENT, 5)
    assert ring.waiting == 0
    with pytest.raises(ValueError, match="sampling rate"):
        metrics.set_sampling_rate(2)


def test_adaptive_sampling_falls_under_load_and_comes_back(metrics: MetricsCollector) -> None:
    metrics.start(windows_seconds=(0.2, 60))
    metrics.set_adaptive_sampling(above_per_s=1000)
    made = 0

    def load() -> bool:
        nonlocal made
        for _ in range(200):
            metrics.record(EVENT, 5)
        made += 200
        return metrics.sampling_rate < 0.5

    until(load)
    until(lambda: metrics.sampling_rate == 1.0)
    assert count(metrics) == pytest.approx(made, abs=100)
    with pytest.raises(ValueError, match="above_per_s"):
        metrics.set_adaptive_sampling(0)


def test_calls_weigh_the_same_whatever_a_flight_recorder_has_overwritten(
    metrics: MetricsCollector, tmp_path: Path
) -> None:
    collector = Collector(tmp_path)
    metrics.publish(tmp_path, "app-0", 256, mode=Mode.FLIGHT_RECORDER)
    metrics.set_sampling_rate(0.1)
    for _ in range(1000):
        metrics.record(EVENT, 5)
    collector.tick(final=True)
    metrics.set_sampling_rate(1.0)
    for _ in range(1000):
        metrics.record(EVENT, 5)
    collector.tick(final=True)
    before = counted(collector)
    for _ in range(100):
        metrics.record(EVENT, 5)
    collector.tick(final=True)
    assert counted(collector) - before == 100
    collector.close()


def test_a_collector_that_comes_later_knows_what_sampled_calls_weigh(
    metrics: MetricsCollector, tmp_path: Path
) -> None:
    metrics.publish(tmp_path, "app-0")
    metrics.set_sampling_rate(0.1)
    for _ in range(2):
        collector = Collector(tmp_path)
        for _ in range(5000):
            metrics.record(EVENT, 5)
        collector.tick(final=True)
        assert counted(collector) == pytest.approx(5000, abs=11)
        collector.close()


@pytest.mark.parametrize("strange", [limits.MAX_EVENT_ID + 1, 0x4000001, 1 << 40, -1])
def test_an_event_id_beyond_its_bits_is_a_lost_record_and_nothing_else(
    metrics: MetricsCollector, strange: int
) -> None:
    metrics.record(strange, 1000)
    metrics.record_end(strange, 1)
    metrics.count(strange, 3)
    with measure(strange):
        pass
    metrics.record(EVENT, 5)
    assert list(metrics.get_all_stats()) == [EVENT]
    assert (metrics.get_stats(EVENT).count, metrics.get_stats(EVENT).lost) == (1, 3)
    assert metrics.get_refused() == {"dropped_count_or_gauge": 1}


def counted(collector: Collector) -> int:
    latencies = collector.aggregate.latencies
    return latencies.figures(list(latencies.series.values()), None).count


def test_violations_are_found(metrics: MetricsCollector) -> None:
    for _ in range(100):
        metrics.record(EventID.EVENT_BUS_PUBLISH, 7_000_000)
    found = metrics.check_sla_violations(5)
    assert [(one.threshold.event_id, one.threshold.percentile) for one in found] == [(5, 95.0)]


def test_figures_are_exported_as_json(metrics: MetricsCollector) -> None:
    metrics.record(EVENT, 5)
    [found] = json.loads(metrics.export_json(5))["events"]
    assert (found["event"], found["count"], found["p99_9"], found["lost"]) == ("ORDER_PLACEMENT", 1, 5, 0)


def test_a_report_is_logged_now_and_then(metrics: MetricsCollector, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        metrics.record(EVENT, 5)
        metrics.start(report_every_seconds=0.1)
        until(lambda: "ORDER_PLACEMENT" in caplog.text)


@pytest.mark.parametrize("wrong", ["x", None, 1.5, 1 << 80])
def test_wrong_arguments_never_reach_the_caller(metrics: MetricsCollector, wrong: Any) -> None:
    metrics.record(wrong, 5)
    metrics.record(EVENT, wrong)
    metrics.record_end(EVENT, wrong)
    with measure(wrong):
        pass
    assert metrics.get_stats(EVENT).lost >= 2


@pytest.mark.parametrize("wrong", ["x", None, 1.5, [1], 1 << 80])
def test_wrong_arguments_never_reach_the_caller_when_calls_are_sampled(
    metrics: MetricsCollector, wrong: Any
) -> None:
    metrics.set_sampling_rate(0.4)

    @measure_sync(wrong)
    def measured() -> int:
        return 1

    for _ in range(10):
        with measure(wrong):
            pass
        metrics.record(wrong, 5)
        assert measured() == 1
    assert metrics.get_stats(EVENT).lost == 30


@pytest.mark.parametrize("wrong", ["x", None, 1.5, 1 << 63, -(1 << 63) - 1, [], b"x"])
def test_a_count_that_cannot_be_written_is_no_lost_call(metrics: MetricsCollector, wrong: Any) -> None:
    metrics.record(EVENT, 5)
    metrics.count(EVENT, wrong)
    metrics.gauge(EVENT, wrong)
    metrics.count(wrong)
    metrics.gauge(wrong, 5)
    metrics.count(-1)
    assert metrics.get_stats(EVENT).lost == 0
    assert metrics.get_refused() == {"dropped_count_or_gauge": 5}
    metrics.record(EVENT, wrong)
    metrics.record(-1, 5)
    assert metrics.get_stats(EVENT).lost == 2


@pytest.mark.parametrize("wrong", [0, -5, 1.5, float("nan"), float("inf"), "5"])
def test_an_interval_that_cannot_be_is_refused_by_name(metrics: MetricsCollector, wrong: Any) -> None:
    metrics.record(EVENT, 5)
    with pytest.raises(ValueError, match="expected_interval_ns = "):
        metrics.get_stats(EVENT, expected_interval_ns=wrong)


def test_what_cannot_be_true_is_refused_under_a_name(metrics: MetricsCollector) -> None:
    metrics.record(EVENT, -5)
    metrics.record(EVENT, 1 << 60)
    metrics.count(EventID.HANDLED, -1)
    assert metrics.get_stats(EVENT).count == 0
    assert metrics.get_refused() == {"absurd_value": 3}
    assert json.loads(metrics.export_json())["refused"] == {"absurd_value": 3}


def test_without_memory_for_a_ring_the_program_lives(
    metrics: MetricsCollector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*_: Any) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("pipeline.telemetry.thread_rings.memory_ring", none)
    metrics.record(EVENT, 5)
    metrics.record(EVENT, 5)
    assert caplog.text.count("telemetry is off in threads that get no ring") == 1


def test_published_records_are_drained_by_a_collector_process(
    metrics: MetricsCollector, tmp_path: Path
) -> None:
    collector = Collector(tmp_path)
    metrics.publish(tmp_path, "app-0", 64)
    metrics.record_end(EVENT, metrics.record_start(EVENT))
    metrics.record_start(EventID.ORDER_FILL)
    collector.tick(final=True)
    assert collector.aggregate.latencies.figures([0], None).count == 1
    assert collector.sources[0].inside(0) == ("ORDER_FILL",)
    for refused in (metrics.start, lambda: metrics.get_stats(EVENT)):
        with pytest.raises(UsageError, match="published"):
            refused()
    collector.close()


def test_published_threads_that_do_little_take_little_memory(
    metrics: MetricsCollector, tmp_path: Path
) -> None:
    metrics.publish(tmp_path, "app-0")
    done = threading.Barrier(21)

    def record_once() -> None:
        metrics.record(EVENT, 5)
        done.wait()
        done.wait()

    threads = [threading.Thread(target=record_once) for _ in range(20)]
    for thread in threads:
        thread.start()
    done.wait()
    rings = [path.stat().st_blocks * 512 for path in tmp_path.iterdir()]
    done.wait()
    for thread in threads:
        thread.join()
    assert len(rings) == 20
    assert sum(rings) < 12 * limits.MIB


def test_publishing_what_is_aggregated_here_is_refused(metrics: MetricsCollector, tmp_path: Path) -> None:
    metrics.start()
    with pytest.raises(UsageError, match="one reader"):
        metrics.publish(tmp_path, "app-0")


FORKED = """
import os
from pipeline.telemetry import MetricsCollector
metrics = MetricsCollector()
metrics.record(3, 5)
assert metrics.get_stats(3).count == 1
child = os.fork()
if child == 0:
    metrics.record(3, 7)
    metrics.record(3, 7)
    os._exit(metrics.get_stats(3).count)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), metrics.get_stats(3).count)
"""


def test_a_forked_child_counts_for_itself() -> None:
    ran = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["2", "1"]


def test_a_block_is_measured_and_its_exception_passes_through(metrics: MetricsCollector) -> None:
    with measure(EVENT), measure(EventID.ORDER_FILL):
        pass
    with pytest.raises(KeyError, match="'x'"), measure(EVENT):
        raise KeyError("x")
    assert (count(metrics), count(metrics, EventID.ORDER_FILL)) == (2, 1)


def test_a_function_is_measured_and_its_exception_passes_through(metrics: MetricsCollector) -> None:
    @measure_sync(EVENT)
    def divide(one: int, by: int = 1) -> float:
        """Divides."""
        return one / by

    assert divide(6, by=2) == 3
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)
    assert count(metrics) == 2
    assert (divide.__name__, divide.__doc__) == ("divide", "Divides.")


def test_a_generator_is_measured_from_its_first_value_to_its_end(metrics: MetricsCollector) -> None:
    @measure_sync(EVENT)
    def numbers() -> Iterator[int]:
        yield from (1, 2)

    produced = numbers()
    assert count(metrics) == 0
    assert list(produced) == [1, 2]
    assert count(metrics) == 1


def test_a_coroutine_is_measured_across_its_awaits(metrics: MetricsCollector) -> None:
    spent_ns: list[int] = []

    @measure_async(EVENT)
    async def wait(others: int, fail: bool = False) -> int:
        begun_ns = time.monotonic_ns()
        while len(spent_ns) < others:  # however late this machine is, the last one takes longest
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        spent_ns.append(time.monotonic_ns() - begun_ns)
        if fail:
            raise KeyError("x")
        return others

    async def several() -> list[int | BaseException]:
        return list(await asyncio.gather(wait(2), wait(0), wait(1, fail=True), return_exceptions=True))

    results = asyncio.run(several())
    assert results[:2] == [2, 0]
    assert isinstance(results[2], KeyError)
    found = metrics.get_stats(EVENT)
    assert found.count == 3
    assert found.min is not None
    assert found.max is not None
    assert 20_000_000 <= spent_ns[0] <= found.min < spent_ns[1] < spent_ns[2] <= found.max


FORGOTTEN = """
import asyncio
from pipeline.telemetry import MetricsCollector, measure_async
async def feed():
    try:
        while True: yield 1
    finally:
        await asyncio.sleep(0)
        print("closed")
async def main(make):
    global kept
    kept = make()
    await kept.__anext__()
asyncio.run(main(measure_async(3)(feed)))
print(MetricsCollector().get_stats(3).count)
"""


@pytest.mark.parametrize("choice", ["", "python"])
def test_an_async_generator_that_is_open_when_its_loop_ends_is_closed_by_it(choice: str) -> None:
    command = [sys.executable, "-c", FORGOTTEN]
    environment = {**os.environ, VARIABLE: choice}
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert (ran.stdout.split(), ran.stderr) == (["closed", "1"], "")


def test_a_measured_async_generator_leaves_the_hooks_of_its_thread() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    async def run() -> None:
        before = sys.get_asyncgen_hooks()
        assert [one async for one in measure_async(EVENT)(numbers)()] == [1]
        assert sys.get_asyncgen_hooks() == before

    asyncio.run(run())


def test_a_cancelled_coroutine_is_measured(metrics: MetricsCollector) -> None:
    @measure_async(EVENT)
    async def forever() -> None:
        await asyncio.Event().wait()

    async def cancel() -> None:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert count(metrics) == 1


def test_the_wrong_decorator_is_refused_where_it_is_written() -> None:
    async def coroutine() -> None: ...

    def function() -> Any: ...

    with pytest.raises(UsageError, match="use measure_async"):
        measure_sync(EVENT)(coroutine)
    with pytest.raises(UsageError, match="use measure_sync"):
        measure_async(EVENT)(function)


def test_statistics_may_be_fed_by_hand_from_many_threads() -> None:
    stats = MetricsStats(thresholds=[SLAThreshold(1, 50, 10)])

    def feed() -> None:
        for _ in range(50):
            stats.add(1, [5, 50])

    threads = [threading.Thread(target=feed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stats.get_stats(1, 5).count == 400
    assert stats.check_sla_violations(5) == []
    with pytest.raises(ValueError, match="must not be negative"):
        stats.add(1, [-1])
    for huge in (limits.MAX_DURATION_NS + 1, 1 << 62, 1 << 70):
        with pytest.raises(ValueError, match="at most"):
            stats.add(2, [huge] * 4)
    assert stats.get_stats(2).count == 0
    stats.add(2, [limits.MAX_DURATION_NS] * 4)
    assert stats.get_stats(2).mean == limits.MAX_DURATION_NS
    stats.add(2, [limits.MAX_DURATION_NS] * 8200)  # more than 64 bits hold
    assert stats.get_stats(2).mean is None


def test_an_older_gauge_of_another_ring_does_not_win() -> None:
    stats = MetricsStats()
    for at_ns, value in ((200, 7), (100, 5)):
        ring = memory_ring("w", 64)
        ring.put(at_ns, value, EventID.DEPTH | GAUGE_BITS)
        source, into = Source(RingReader(ring.memory, ring.identity)), np.zeros((64, 4), dtype=np.int64)
        stats.fold(source, into, source.reader.drain(into))
    assert stats.get_gauge(EventID.DEPTH) == 7


RECORD_ONLY = """
import sys
from pathlib import Path
from pipeline.clock import SystemClock
from pipeline.telemetry import EventID, MetricsCollector, SelfReport, measure, open_recorder
recorder = open_recorder(Path(sys.argv[1]), "agent-0", 64)
recorder.end(EventID.AGENT_DECISION, recorder.start(EventID.AGENT_DECISION))
SelfReport(recorder, SystemClock()).report(1)
with measure(EventID.AGENT_DECISION):
    pass
recorder.close()
print(sorted(name for name in ("numpy", "zmq", "uvicorn", "msgspec") if name in sys.modules))
"""


def test_a_process_that_only_records_loads_nothing_heavy(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RECORD_ONLY, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_call_takes_its_arguments_by_name(metrics: MetricsCollector, tmp_path: Path) -> None:
    started = metrics.record_start(event_id=EVENT)
    metrics.record_end(event_id=EVENT, start_ts=started)
    metrics.record_end(EVENT, start_ts=metrics.record_start(event_id=EVENT))
    metrics.record(event_id=EVENT, duration_ns=5)
    metrics.record(duration_ns=5, event_id=EVENT)
    with metrics.block(event_id=EVENT), measure(event_id=EVENT):
        pass
    metrics.count(event_id=EventID.HANDLED, n=2)
    metrics.gauge(event_id=EventID.DEPTH, value=3)
    metrics.record_backlog(depth=4)
    assert metrics.get_stats(event_id=EVENT).count == 6
    assert metrics.get_count(event_id=EventID.HANDLED) == 2
    recorder = open_recorder(directory=tmp_path, worker="agent-0", entries=64)
    recorder.end(event_id=EVENT, start_ts=recorder.start(event_id=EVENT, correlation=7), correlation=7)
    recorder.record(event_id=EVENT, duration_ns=5, correlation=7)
    recorder.count(event_id=EventID.HANDLED, n=2, correlation=7)
    recorder.gauge(event_id=EventID.DEPTH, value=3, correlation=7)
    with recorder.span(event_id=EVENT, correlation=7):
        pass
    collector = Collector(tmp_path)
    collector.tick(final=True)
    assert (collector.aggregate.entries, collector.lost(), dict(collector.aggregate.refused)) == (5, 0, {})
    collector.close()
    recorder.close()


def test_an_argument_that_there_is_not_is_a_type_error(metrics: MetricsCollector) -> None:
    wrong: Any = metrics.record_start
    for arguments in ({}, {"event": 3}, {"event_id": 3, "more": 1}):
        with pytest.raises(TypeError):
            wrong(**arguments)
    with pytest.raises(TypeError):
        wrong(3, event_id=3)
