"""What is counted while folding gives the verdicts that the buckets give."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import NS_PER_MS, NS_PER_S, FakeClock
from pipeline.telemetry import EventID, open_recorder
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.latencies import COUNTED_ABOVE, Latencies
from pipeline.telemetry.sla import surely_slow_from, thresholds_ms
from pipeline.telemetry.watch import Watch

THRESHOLDS = (*thresholds_ms(15, p50=1, p95=3, p99=7), *thresholds_ms(18, p95=2))
NOW_NS = 1000 * NS_PER_S
CALLS = st.lists(
    st.tuples(
        st.integers(0, 3), st.integers(0, 10 * NS_PER_MS), st.integers(0, 3 * NS_PER_S), st.integers(1, 9)
    ),
    min_size=1,
    max_size=60,
)


@given(calls=CALLS, many=st.booleans(), weighted=st.booleans())
def test_slow_calls_of_a_window_are_those_in_its_slow_buckets(
    calls: list[tuple[int, int, int, int]], many: bool, weighted: bool
) -> None:
    watch = Watch(THRESHOLDS)
    latencies = Latencies((1, 5), watch)
    made = [latencies.series_of(group, event) for group in ("agent", "exec") for event in (15, 18)]
    assert None not in made
    series, values, ages, weights = (np.array(column) for column in zip(*calls, strict=True))
    if many:  # so many that cells are counted before they are kept
        repeats = COUNTED_ABOVE // len(calls) + 1
        series, values, ages, weights = (np.tile(one, repeats) for one in (series, values, ages, weights))
    latencies.advance(NOW_NS)
    latencies.fold(series, values, NOW_NS - ages, weights if weighted else None)
    latencies.advance(NOW_NS + NS_PER_S // 2)
    for window in latencies.windows.values():
        for subject in watch.subjects.values():
            first = surely_slow_from(subject.threshold.limit_ns)
            expected = [int(window.row(one)[first:].sum()) for one in subject.series]
            assert window.slow[subject.pairs].tolist() == expected


@given(st.lists(st.integers(0, 10 * NS_PER_MS), min_size=1, max_size=300))
def test_verdicts_without_percentiles_are_those_with_them(durations: list[int]) -> None:
    collector = Collector(Path("/nonexistent"), thresholds=THRESHOLDS, windows_s=(1,), now=lambda: NOW_NS)
    inner = collector.aggregate.latencies
    assert inner.series_of("agent", 15) == 0
    inner.fold(np.zeros(len(durations), dtype=np.intp), np.array(durations), np.full(len(durations), NOW_NS))
    expected = [(one.threshold, one.window_seconds, one.verdict) for one in collector.results()]
    assert list(collector.verdicts()) == expected


def test_a_breach_is_told_by_the_drain_that_takes_it_whatever_waits_to_be_added_up(tmp_path: Path) -> None:
    clock = FakeClock()
    collector = Collector(tmp_path, thresholds=THRESHOLDS, windows_s=(1,), now=clock.monotonic_ns)
    recorder = open_recorder(tmp_path, "agent-0", 1024, now=clock.monotonic_ns)
    told = []
    for step in range(12):
        for _ in range(30):
            recorder.record(EventID.AGENT_DECISION, 9 * NS_PER_MS if step == 7 else 1000)
        clock.advance(ms=100)
        told.append({result.threshold.percentile for result in collector.tick()})
    assert [step for step, found in enumerate(told) if found] == [7]
    assert told[7] == {95.0, 99.0}
    recorder.close()
    collector.close()
