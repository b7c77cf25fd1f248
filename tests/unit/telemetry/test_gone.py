"""Names that are used once: what they counted stays, what they cost does not."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline import limits
from pipeline.clock import FakeClock
from pipeline.telemetry import EventID, open_recorder
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.counters import CounterKey, Counters
from pipeline.telemetry.events import GONE, event_name, split_worker
from pipeline.telemetry.latencies import Latencies
from pipeline.telemetry.prometheus import render
from pipeline.telemetry.sla import thresholds_ms
from pipeline.telemetry.view import build_snapshot

SLA = thresholds_ms(EventID.ORDER_PLACEMENT, p50=0.0005)


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(monotonic_ns=10**12)


@pytest.fixture
def collector(directory: Path, clock: FakeClock) -> Iterator[Collector]:
    one = Collector(directory, thresholds=SLA, now=clock.monotonic_ns)
    yield one
    one.close()


def come_and_go(directory: Path, clock: FakeClock, collector: Collector, name: str, records: int = 1) -> None:
    recorder = open_recorder(directory, name, 64, now=clock.monotonic_ns)
    for number in range(records):
        recorder.record(EventID.ORDER_PLACEMENT, 100 + 900 * number)
    recorder.count(EventID.HANDLED, 3)
    recorder.count(EventID.OUTCOME, 1, 2)
    collector.tick(final=True)
    for _ in range(70):
        recorder.record(EventID.ORDER_FILL, 5)
    recorder.close()
    collector.tick(final=True)


def sums(collector: Collector) -> dict[str, Counter[str]]:
    """All that may not change, whoever is told apart: by event, in total and by window."""
    aggregate, found = collector.aggregate, {}
    for window_s in (None, *aggregate.latencies.windows):
        counted: Counter[str] = Counter()
        view = aggregate.latencies.view(window_s)
        for (_, event_id), series in aggregate.latencies.series.items():
            counted[event_name(event_id)] += int(view.row(series).sum())
            counted[event_name(event_id) + " ns"] += int(view.sums()[series])
        for key, total in aggregate.counters.totals():
            amount = total if window_s is None else aggregate.counters.within(window_s, [key])
            counted[f"{event_name(key.event_id)} of {split_worker(key.subject)[0]}"] += amount
        found[str(window_s)] = counted
    return found


def test_counters_of_a_stages_gone_workers_are_added_up_and_no_sum_over_the_stage_changes(
    directory: Path, clock: FakeClock, collector: Collector
) -> None:
    many = 3 * limits.MAX_GONE_WORKERS
    for number in range(many):
        come_and_go(directory, clock, collector, f"web-{number}")
        clock.advance(ms=10)
    for found in (sums(collector)["None"], sums(collector)["60"]):
        assert found["HANDLED of web"] == 3 * many
        assert found["ORDER_PLACEMENT"] == many
        assert found["EVENT_0 of web"] == 6 * many  # lost
    subjects = {key.subject for key, _ in collector.aggregate.counters.totals()}
    assert len(subjects) <= 2 * limits.MAX_GONE_WORKERS + 2
    assert {"web (gone)", f"web-{many - 1}"} <= subjects
    assert "web-0" not in subjects
    page = render(collector, clock.monotonic_ns()).decode()
    assert 'ringline_handled_total{stage="web",worker="web (gone)"}' in page
    snapshot = build_snapshot(collector, clock.monotonic_ns(), 0)
    [web] = [stage for stage in snapshot.stages if stage.stage == "web"]
    assert [counts.handled for counts in web.counts][-1] == 3 * many
    assert sum(snapshot.outcomes.values()) == many
    assert snapshot.lost == 6 * many


def test_gone_stages_are_added_up_and_nothing_is_forgotten_or_counted_twice(
    directory: Path, clock: FakeClock, collector: Collector
) -> None:
    living = open_recorder(directory, "agent-0", 64, now=clock.monotonic_ns)
    living.record(EventID.ORDER_PLACEMENT, 50)
    many, sizes = 10 * limits.MAX_GONE_STAGES, []
    for number in range(many):
        come_and_go(directory, clock, collector, f"host{number}x", records=2)
        sizes.append(len(render(collector, clock.monotonic_ns())))
    assert max(sizes[many // 2 :]) <= 1.1 * max(sizes[: many // 2])  # numbers get longer
    assert not collector.aggregate.refused
    for found in (sums(collector)["None"], sums(collector)["60"]):
        assert found["ORDER_PLACEMENT"] == 2 * many + 1
        assert found["ORDER_PLACEMENT ns"] == 1100 * many + 50
        assert found["ORDER_FILL"] == 64 * many
        assert sum(count for name, count in found.items() if name.startswith("HANDLED")) == 3 * many
    assert collector.lost() == 6 * many
    latencies = collector.aggregate.latencies
    everything = latencies.figures(list(latencies.series.values()), 60)
    assert (everything.minimum, everything.maximum) == (5, 1000)
    [result] = [one for one in collector.results() if one.window_seconds == 60]
    assert result.count == 2 * many + 1
    [subject] = collector._watch.subjects.values()
    # The slow call of each is still known, and leaves the window like any other.
    assert int(latencies.windows[60].slow[subject.pairs].sum()) == many
    clock.advance(s=120)
    assert not any(sums(collector)["60"].values())
    assert not latencies.windows[60].counts.running.any()
    living.close()


def test_a_worker_that_comes_back_goes_on_where_it_was(
    directory: Path, clock: FakeClock, collector: Collector
) -> None:
    for number in range(5):
        come_and_go(directory, clock, collector, "agent-0")
        come_and_go(directory, clock, collector, f"agent-{number}")
    page = render(collector, clock.monotonic_ns()).decode()
    assert 'ringline_handled_total{stage="agent",worker="agent-0"} 18' in page


def test_a_living_workers_counters_never_go_backwards_however_many_others_come_and_go(
    directory: Path, clock: FakeClock, collector: Collector
) -> None:
    come_and_go(directory, clock, collector, "web-0")  # it has come back: it is the longest known as gone
    living = open_recorder(directory, "web-0", 64, now=clock.monotonic_ns)
    for number in range(4, 3 * limits.MAX_GONE_WORKERS):
        living.count(EventID.HANDLED, 1)
        come_and_go(directory, clock, collector, f"web-{number}")
        page = render(collector, clock.monotonic_ns()).decode()
        assert f'ringline_handled_total{{stage="web",worker="web-0"}} {number}\n' in page
    living.close()


def test_events_of_all_kinds_are_added_up_without_end(
    directory: Path, clock: FakeClock, collector: Collector
) -> None:
    total = 0
    for number in range(4 * limits.MAX_GONE_STAGES):
        recorder = open_recorder(directory, f"host{number}x", 256, now=clock.monotonic_ns)
        for event_id in range(100 + 3 * number, 103 + 3 * number):
            recorder.record(event_id, 7)
            recorder.count(event_id, 1)
            total += 1
        recorder.close()
        collector.tick(final=True)
    aggregate = collector.aggregate
    assert not aggregate.refused
    assert (
        int(sum(aggregate.latencies.totals.row(one).sum() for one in aggregate.latencies.series.values()))
        == total
    )
    assert sum(count for _, count in aggregate.counters.totals()) == total
    gone = [key for key, _ in aggregate.counters.totals() if key.subject == "(gone)"]
    assert len(gone) <= limits.MAX_GONE_EVENTS + 1
    assert b'stage="(gone)",event="(others)"' in render(collector, clock.monotonic_ns())


def test_a_table_shows_what_was_added_up_and_not_what_is_gone() -> None:
    """Also when there are as many counters as before."""
    counters = Counters((1,))
    for amount, worker in enumerate(("web-0", "web-1"), 3):
        counters.add_one(10**12, CounterKey(worker, EventID.HANDLED), amount)
    events = (int(EventID.HANDLED),)
    assert counters.read(1, counters.table(events)) == [[3], [4]]
    counters.add_up({CounterKey("web-0", EventID.HANDLED): CounterKey("web (gone)", EventID.HANDLED)})
    table = counters.table(events)
    sums = dict(zip(table.rows, counters.read(1, table), strict=True))
    assert sums == {"web-1": [4], "web (gone)": [3]}


@pytest.mark.parametrize("window_s", [None, 60])
def test_the_extremes_of_who_is_gone_stay_and_are_no_one_elses(window_s: int | None) -> None:
    latencies = Latencies()

    def record(stage: str, event_id: int, *values: int) -> None:
        series = latencies.series_of(stage, event_id)
        times = np.full(len(values), 10**12)
        latencies.fold(np.full(len(values), series, dtype=np.intp), np.array(values), times)

    latencies.advance(10**12)
    record("web", 3, 7, 900)
    latencies.add_up({"web"})
    gone = latencies.figures([latencies.series[GONE, 3]], window_s)
    assert (gone.count, gone.minimum, gone.maximum) == (2, 7, 900)
    record("job", 4, 50)  # in the place that has become free
    new = latencies.figures([latencies.series["job", 4]], window_s)
    assert (new.count, new.minimum, new.maximum) == (1, 50, 50)
