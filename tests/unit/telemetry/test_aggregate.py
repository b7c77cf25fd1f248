"""What entries add up to, and what is refused although it is whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.telemetry.aggregate import Aggregate, Span
from pipeline.telemetry.counters import CounterKey
from pipeline.telemetry.events import EventID
from pipeline.telemetry.layout import WEIGHT_SHIFT, Kind
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.ring import memory_ring
from pipeline.telemetry.source import Source

NOW_NS = 10**12


def source(worker: str = "agent-0") -> Source:
    ring = memory_ring(worker, 64)
    return Source(RingReader(ring.memory, ring.identity))


def entry(
    event_id: int, value: int, kind: Kind = Kind.DURATION, which: int = 0, end_ns: int = NOW_NS
) -> list[int]:
    what = event_id | kind << 24 | which << 32
    return [end_ns, value, what - (1 << 64) if what >= 1 << 63 else what, 0]


def fold(aggregate: Aggregate, *parts: tuple[Source, list[list[int]]]) -> None:
    spans: list[Span] = []
    rows: list[list[int]] = []
    for one, entries in parts:
        spans.append(Span(one, len(rows), len(rows) + len(entries)))
        rows += entries
    aggregate.advance(NOW_NS)
    aggregate.fold(np.array(rows, dtype=np.int64), spans, NOW_NS)


def test_latencies_are_kept_by_stage_and_event() -> None:
    aggregate = Aggregate()
    fold(
        aggregate,
        (source("agent-0"), [entry(15, 100), entry(22, 5)]),
        (source("agent-1"), [entry(15, 300)]),
        (source("exec-0"), [entry(22, 7)]),
    )
    assert set(aggregate.latencies.series) == {("agent", 15), ("agent", 22), ("exec", 22)}
    of_agents = aggregate.latencies.figures([aggregate.latencies.series["agent", 15]], 1)
    assert (of_agents.count, of_agents.minimum, of_agents.maximum) == (2, 100, 300)


def test_counts_go_to_their_worker_and_flow_throttles_downstream() -> None:
    aggregate = Aggregate()
    fold(
        aggregate,
        (
            source("gateway-0"),
            [
                entry(EventID.HANDLED, 2, Kind.COUNT),
                entry(EventID.HANDLED, 3, Kind.COUNT),
                entry(EventID.FLOW_THROTTLED, 4, Kind.COUNT, which=1),
                entry(EventID.OUTCOME, 1, Kind.COUNT, which=3),
            ],
        ),
    )
    counters = aggregate.counters
    assert dict(counters.totals()) == {
        CounterKey("gateway-0", EventID.HANDLED): 5,
        CounterKey("agent-1", EventID.FLOW_THROTTLED): 4,
        CounterKey("gateway-0", EventID.OUTCOME, 3): 1,
    }
    assert counters.within(1, [CounterKey("gateway-0", EventID.HANDLED)]) == 5


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 50), st.integers(0, 70)), max_size=40))
def test_counters_over_windows_equal_brute_force(counts: list[tuple[int, int, int]]) -> None:
    aggregate, workers = Aggregate(), [source(f"agent-{ordinal}") for ordinal in range(3)]
    aggregate.advance(NOW_NS)
    for ordinal, amount, age_s in counts:
        fold(aggregate, (workers[ordinal], [entry(35, amount, Kind.COUNT, end_ns=NOW_NS - age_s * 10**9)]))
    for ordinal in range(3):
        key = CounterKey(f"agent-{ordinal}", 35)
        for window_s in (1, 5, 60):
            expected = sum(amount for one, amount, age_s in counts if one == ordinal and age_s < window_s)
            assert aggregate.counters.within(window_s, [key]) == expected
        assert aggregate.counters.total(key) == sum(amount for one, amount, _ in counts if one == ordinal)


def test_the_newest_gauge_stands() -> None:
    one = source("gateway-0")
    fold(
        Aggregate(), (one, [entry(EventID.LAG, value, Kind.GAUGE, which=0xFFFF_FFFF) for value in (5, 9, 3)])
    )
    assert one.gauges == {(EventID.LAG, 0xFFFF_FFFF): (NOW_NS, 3)}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (entry(15, -1), "absurd_value"),
        (entry(15, 1 << 60), "absurd_value"),
        (entry(35, -1, Kind.COUNT), "absurd_value"),
        (entry(0, 1), "event_out_of_range"),
        ([NOW_NS, 1, 15 | 9 << 24, 0], "unknown_kind"),
        (entry(EventID.OUTCOME, 1, Kind.COUNT, which=77), "senseless_count"),
        (entry(EventID.FLOW_THROTTLED, 1, Kind.COUNT, which=1 << 20), "senseless_count"),
    ],
)
def test_values_that_cannot_be_true_are_refused_by_name_and_spoil_nothing(
    wrong: list[int], reason: str
) -> None:
    aggregate = Aggregate()
    fold(aggregate, (source("agent-0"), [entry(15, 100), wrong, entry(15, 200)]))
    assert aggregate.refused == {reason: 1}
    assert aggregate.latencies.figures([0], 1).count == 2


def test_a_clock_that_is_ahead_counts_as_now_and_one_that_stands_still_does_no_harm() -> None:
    aggregate = Aggregate()
    fold(
        aggregate,
        (source(), [entry(15, 0, end_ns=NOW_NS * 2), entry(15, 0, end_ns=0), entry(15, 0, end_ns=-5)]),
    )
    assert aggregate.latencies.figures([0], 60).count == 1
    assert aggregate.latencies.figures([0], None).count == 3


@given(
    st.lists(
        st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=4, max_size=4), min_size=1, max_size=60
    )
)
def test_random_entries_never_crash(rows: list[list[int]]) -> None:
    fold(Aggregate(), (source(), rows))


@given(st.lists(st.integers(1, 4096), min_size=1, max_size=40), st.data())
def test_each_entry_stands_for_as_many_calls_as_it_says(weights: list[int], data: st.DataObject) -> None:
    rows = [entry(15, 100) for _ in weights]
    for row, weight in zip(rows, weights, strict=True):
        row[2] |= weight - 1 << WEIGHT_SHIFT
    aggregate, one = Aggregate(), source()
    cut = data.draw(st.integers(0, len(rows)))
    for part in (rows[:cut], rows[cut:]):
        if part:
            fold(aggregate, (one, part))
    assert aggregate.latencies.figures([0], 1).count == sum(weights)


def test_processor_time_is_a_percentage_over_about_a_second() -> None:
    one = source()
    assert one.cpu_percent() is None
    for tenth in range(30):
        one.set_gauge(EventID.CPU, 0, tenth * 10**8, tenth * 5 * 10**7)
    assert one.cpu_percent() == pytest.approx(50)
    one.set_gauge(EventID.CPU, 0, 4 * 10**9, 29 * 5 * 10**7)
    assert one.cpu_percent() == 0
