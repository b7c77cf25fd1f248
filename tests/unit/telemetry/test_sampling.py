"""Sampling keeps counts right, whatever the rate and however it changes."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.telemetry import measure
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.layout import (
    CORRELATION_SHIFT,
    EVENT_MASK,
    KIND_MASK,
    KIND_SHIFT,
    WEIGHT_MASK,
    WEIGHT_SHIFT,
    Kind,
    Mode,
)
from pipeline.telemetry.metrics import MetricsCollector
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.ring import create_ring, memory_ring
from pipeline.telemetry.sampling import ADAPTIVE_FLOOR, Load, Sampler, check_rate
from pipeline.telemetry.sla import SLAThreshold, Verdict
from pipeline.telemetry.source import Source
from pipeline.telemetry.stats import MetricsStats

RATES = st.one_of(st.just(1.0), st.just(0.0), st.floats(0.002, 1))


class Kept:
    """A put that adds up what its entries stand for, as a reader would."""

    def __init__(self) -> None:
        self.calls: dict[int, int] = {}
        self.written = 0

    def __call__(self, _end_ns: int, _value: int, what: int) -> bool:
        self.written += 1
        assert what >> KIND_SHIFT & KIND_MASK == Kind.DURATION
        event_id = what & EVENT_MASK
        self.calls[event_id] = self.calls.get(event_id, 0) + 1 + (what >> WEIGHT_SHIFT & WEIGHT_MASK)
        return True


@given(RATES, st.integers(0, 3000), st.integers(1, 3), st.randoms(use_true_random=False))
def test_the_count_is_off_by_less_than_one_stratum(
    rate: float, calls: int, events: int, dice: random.Random
) -> None:
    kept = Kept()
    sampler = Sampler(kept, lambda: rate, dice.randrange)
    for number in range(calls):
        sampler(1, 5, number % events + 1)
    for event_id in range(1, events + 1):
        made = len(range(event_id - 1, calls, events))
        if rate == 0:
            assert not kept.calls
        else:
            assert abs(kept.calls.get(event_id, 0) - made) <= 1 / rate + 1


@given(st.lists(st.tuples(RATES, st.integers(1, 400)), max_size=8), st.randoms(use_true_random=False))
def test_counts_stay_right_when_the_rate_changes(steps: list[tuple[float, int]], dice: random.Random) -> None:
    kept, now = Kept(), [1.0]
    sampler = Sampler(kept, lambda: now[0], dice.randrange)
    made, slack = 0, 0.0
    for rate, calls in steps:
        now[0] = rate
        for _ in range(calls):
            sampler(1, 5, 7)
        if rate:
            made += calls
            slack += 1 / rate + 1
    assert abs(kept.calls.get(7, 0) - made) <= slack


def test_about_the_wanted_share_is_written() -> None:
    kept = Kept()
    sampler = Sampler(kept, lambda: 0.3)
    for _ in range(30_000):
        sampler(1, 5, 7)
    assert kept.written == pytest.approx(9000, rel=0.02)


def test_what_calls_are_tied_to_takes_no_memory_and_spoils_no_count() -> None:
    kept = Kept()
    sampler = Sampler(kept, lambda: 0.1, random.Random(1).randrange)
    for request in range(10_000):
        sampler(1, 5, 7 | request << CORRELATION_SHIFT)
    assert kept.calls[7] == pytest.approx(10_000, abs=11)
    assert len(sampler._strata) <= 1


def test_a_pattern_of_fast_and_slow_calls_cannot_hide() -> None:
    values: list[int] = []

    def put(_end: int, value: int, _what: int) -> bool:
        values.append(value)
        return True

    sampler = Sampler(put, lambda: 0.5, random.Random(1).randrange)
    for number in range(10_000):
        sampler(1, number % 2, 7)
    assert 0.45 < sum(values) / len(values) < 0.55


def test_what_found_no_room_changes_no_weight() -> None:
    ring = memory_ring("w", 64)
    reader, stats = RingReader(ring.memory, ring.identity), MetricsStats()
    source, rate, into = Source(reader), [1.0], np.zeros((64, 4), dtype=np.int64)
    sampler = Sampler(ring.put, lambda: rate[0])

    def call(times: int) -> list[bool]:
        return [sampler(time.monotonic_ns(), 5, 7) for _ in range(times)]

    assert all(call(64))
    rate[0] = 0.5
    assert not any(call(10))
    stats.fold(source, into, reader.drain(into))
    assert stats.get_stats(7).count == 64
    call(20)
    stats.fold(source, into, reader.drain(into))
    assert stats.get_stats(7).count == pytest.approx(64 + 20, abs=2)


@pytest.mark.parametrize("rate", [-0.1, 1.1, 0.0001])
def test_a_rate_beyond_its_range_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="sampling rate"):
        check_rate(rate)


@pytest.fixture
def metrics() -> Iterator[MetricsCollector]:
    one = MetricsCollector()
    one.clear()
    yield one
    one.clear()


def counted(collector: Collector) -> int:
    latencies = collector.aggregate.latencies
    return sum(int(latencies.totals.row(one).sum()) for one in latencies.series.values())


@pytest.mark.parametrize("rate", [0.1, 0.3, 1.0])
def test_what_found_no_room_is_told_as_calls(tmp_path: Path, metrics: MetricsCollector, rate: float) -> None:
    metrics.publish(tmp_path, "web-0", 64)
    metrics.set_sampling_rate(rate)
    collector = Collector(tmp_path)
    for _ in range(10_000):
        metrics.record(3, 5)
    collector.tick(final=True)
    assert collector.lost() > 9000
    assert counted(collector) + collector.lost() == pytest.approx(10_000, abs=1 / rate + 1)
    collector.close()


def test_slow_calls_that_found_no_room_leave_no_verdict_of_met(
    tmp_path: Path, metrics: MetricsCollector
) -> None:
    limit = SLAThreshold(3, 99, 50_000_000)
    collector = Collector(tmp_path, thresholds=[limit])
    metrics.publish(tmp_path, "web-0", 1024)
    metrics.set_sampling_rate(0.05)
    for _ in range(20 * 1024):
        metrics.record(3, 1000)
    for _ in range(1000):  # true p99: 80 ms; as entries they would be 50 of 21,000
        metrics.record(3, 80_000_000)
    collector.tick(final=True)
    assert collector.lost() == pytest.approx(1000, abs=21)
    assert {one.verdict for one in collector.results()} == {Verdict.UNKNOWN}
    collector.close()


def test_what_was_written_over_counts_as_the_most_that_it_may_have_stood_for(
    tmp_path: Path, metrics: MetricsCollector
) -> None:
    metrics.publish(tmp_path, "web-0", 64, mode=Mode.FLIGHT_RECORDER)
    metrics.record(3, 5)
    metrics.set_sampling_rate(0.3)
    collector = Collector(tmp_path)
    for _ in range(3000):
        metrics.record(3, 5)
    collector.tick(final=True)
    assert 3001 <= counted(collector) + collector.lost() <= 3001 / 0.3 * 4 / 3
    assert collector.lost() % 4 == 0
    collector.close()


def test_a_ring_that_is_removed_is_told_as_the_calls_that_it_may_stand_for(tmp_path: Path) -> None:
    for number in range(limits.MAX_LEFT_RINGS + 2):
        ring = create_ring(tmp_path, f"web-{number}", 64)
        sampler = Sampler(ring.put, lambda: 0.1, announce=ring.announce)
        for _ in range(200):
            sampler(time.monotonic_ns(), 5, 3)
        ring.close()
    collector = Collector(tmp_path)
    collector.tick(final=True)
    assert counted(collector) + collector.lost() == 200 * (limits.MAX_LEFT_RINGS + 2)
    assert collector.lost() > 0
    collector.close()


def test_a_ring_that_tells_an_absurd_weight_is_believed_no_more_than_an_entry_could_say() -> None:
    ring = memory_ring("w", 64, mode=Mode.FLIGHT_RECORDER)
    reader = RingReader(ring.memory, ring.identity)
    assert reader.most_calls == 1
    ring.announce(1 << 50)
    assert reader.most_calls == limits.MAX_SAMPLING_WEIGHT
    reader.close()
    ring.close()


@pytest.mark.parametrize("value", [1 << 63, -(1 << 63) - 1])
def test_a_duration_that_cannot_be_written_is_lost_each_time(value: int) -> None:
    ring = memory_ring("w", 64)
    sampler = Sampler(ring.put, lambda: 0.1)
    assert not any(sampler(1, value, 7) for _ in range(50))
    assert ring.dropped == 50
    ring.close()


@given(
    above=st.floats(1, 10_000),
    loads=st.lists(st.tuples(st.integers(1, 50_000), st.integers(1, 4)), min_size=1, max_size=5),
    step_ms=st.sampled_from([1, 20, 100, 900]),
)
def test_a_load_that_lasts_is_kept_down_to_what_was_wanted_and_no_further(
    above: float, loads: list[tuple[int, int]], step_ms: int
) -> None:
    load, now_ms = Load(above), 10**9
    load.tell(1, now_ms * 1_000_000)
    for calls_per_s, seconds in loads:
        left = 0.0
        for _ in range(0, (seconds + 2) * 1000, step_ms):
            left += calls_per_s * step_ms / 1000
            now_ms += step_ms
            if left >= 1:
                load.tell(int(left), now_ms * 1_000_000)
                left -= int(left)
        wanted = max(ADAPTIVE_FLOOR, min(1.0, above / calls_per_s))
        if calls_per_s * step_ms >= 1000:
            assert wanted / 1.3 <= load.rate <= min(1.0, wanted * 1.3)


def test_a_load_that_is_not_wanted_changes_nothing() -> None:
    load = Load()
    for number in range(100):
        load.tell(1_000_000, number)
    assert load.rate == 1.0


@pytest.mark.parametrize("published", [True, False])
def test_adaptive_sampling_falls_and_comes_back_where_nobody_aggregates(
    tmp_path: Path, metrics: MetricsCollector, published: bool
) -> None:
    metrics.set_adaptive_sampling(above_per_s=100)
    collector = Collector(tmp_path)
    if published:
        metrics.publish(tmp_path, "web-0")
    for _ in range(3000):
        metrics.record(3, 5)
    assert metrics.sampling_rate == ADAPTIVE_FLOOR
    made, deadline = 3000, time.monotonic() + 20
    while metrics.sampling_rate != 1.0:  # some 50 a second
        assert time.monotonic() < deadline
        metrics.record(3, 5)
        made += 1
        time.sleep(0.02)
    metrics.set_adaptive_sampling(None)
    if published:
        collector.tick(final=True)
        assert counted(collector) == pytest.approx(made, abs=22)
        assert collector.aggregate.entries < made - 2000
    else:
        assert metrics.get_stats(3).count == pytest.approx(made, abs=22)
    collector.close()


def test_what_was_published_before_adaptive_sampling_was_asked_for_is_sampled_too(
    tmp_path: Path, metrics: MetricsCollector
) -> None:
    metrics.publish(tmp_path, "web-0")
    metrics.record(3, 5)
    metrics.set_adaptive_sampling(above_per_s=10)
    with pytest.raises(ValueError, match="above_per_s"):
        metrics.set_adaptive_sampling(float("nan"))
    for _ in range(1000):
        with measure(3):
            pass
    assert metrics.sampling_rate == ADAPTIVE_FLOOR
