"""One snapshot of several collectors': counts add up, lags are the worst, percentiles come from buckets."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from pipeline.snapshot import Counts, Latency, Replica, Snapshot, Stage, decode_snapshot, encode_snapshot
from pipeline.telemetry.merging import merged
from pipeline.telemetry.sketch import Sketch

EVENT = "AGENT_DECISION"


def latency(values_ns: Sequence[int], *, buckets: bool = True, event: str = EVENT) -> Latency:
    sketch = Sketch()
    sketch.add(values_ns)
    return Latency(
        event=event, window_s=5.0, count=sketch.count, p50_ns=sketch.quantile(50), p95_ns=sketch.quantile(95),
        p99_ns=sketch.quantile(99), p99_9_ns=sketch.quantile(99.9),
        min_ns=sketch.minimum if sketch.count else None, max_ns=sketch.maximum if sketch.count else None,
        mean_ns=sketch.mean, sketch=sketch.to_bytes() if buckets else None,
    )  # fmt: skip


def bare(told: Latency) -> Latency:
    return structs.replace(told, sketch=None)


def agent_pod(ordinal: int, told: Latency, *, taken_us: int = 2, handled: int = 10) -> Snapshot:
    """Of a pod with one agent, which sends to exec-0."""
    counts = (Counts(window_s=5.0, handled=handled, flow_throttled=1, blocked_ms=2.0),)
    own = Replica(
        stage="agent", ordinal=ordinal, name=f"agent-{ordinal}", age_ms=50, cpu_percent=30, memory_bytes=5,
        counts=counts,
    )  # fmt: skip
    sent_to = Replica(
        stage="exec", ordinal=0, name="exec-0", age_ms=900, lag_ms=100.0 * (ordinal + 1), credit=4
    )
    return Snapshot(
        taken_us=taken_us,
        uptime_s=60.0 + ordinal,
        stages=(
            Stage(stage="exec", lag_ms=100.0 * (ordinal + 1), depth=1, counts=(), latencies=()),
            Stage(stage="agent", lag_ms=None, depth=2, counts=counts, latencies=(told,)),
        ),
        replicas=(sent_to, own),
        latencies=(bare(told),),
        totals=(bare(told),),
        outcomes={"held": ordinal + 1},
        lost=3,
    )


def test_the_snapshot_of_one_stays_as_it_is() -> None:
    one = agent_pod(0, latency([5]))
    assert merged([one]) is one


def test_nothing_makes_no_snapshot() -> None:
    with pytest.raises(ValueError, match="no snapshots"):
        merged([])


def test_counts_add_up_and_the_worst_lag_counts() -> None:
    whole = merged([agent_pod(1, latency([5]), taken_us=9), agent_pod(0, latency([7]), taken_us=4)])
    assert (whole.taken_us, whole.uptime_s, whole.lost, whole.outcomes) == (4, 61.0, 6, {"held": 3})
    agent, execs = whole.stages
    assert (agent.stage, agent.lag_ms, agent.depth) == ("agent", None, 4)
    [counts] = agent.counts
    assert (counts.handled, counts.flow_throttled, counts.blocked_ms) == (20, 2, 4.0)
    assert (execs.lag_ms, execs.depth) == (200.0, 2)


def test_a_workers_own_word_and_its_senders_are_one_row() -> None:
    exec_pod = Snapshot(
        taken_us=5, uptime_s=1.0, stages=(), latencies=(),
        replicas=(Replica(stage="exec", ordinal=0, name="exec-0", age_ms=20, depth=7, cpu_percent=12),),
    )  # fmt: skip
    whole = merged([agent_pod(0, latency([5])), exec_pod, agent_pod(1, latency([5]))])
    assert [one.name for one in whole.replicas] == ["agent-0", "agent-1", "exec-0"]
    told = whole.replicas[2]
    assert (told.age_ms, told.lag_ms, told.depth, told.credit, told.cpu_percent) == (20, 200.0, 7, 8, 12)


@given(st.lists(st.lists(st.integers(0, 10**10), max_size=30), min_size=2, max_size=4))
def test_percentiles_are_those_of_all_values_together(pods: list[list[int]]) -> None:
    whole = merged([agent_pod(number, latency(values)) for number, values in enumerate(pods)])
    expected = latency([value for values in pods for value in values])
    [found] = whole.latencies
    assert (found.count, found.p50_ns, found.p95_ns, found.p99_ns, found.p99_9_ns) == (
        expected.count, expected.p50_ns, expected.p95_ns, expected.p99_ns, expected.p99_9_ns,
    )  # fmt: skip
    assert (found.min_ns, found.max_ns) == (expected.min_ns, expected.max_ns)
    assert decode_snapshot(encode_snapshot(whole)) == whole


def test_without_buckets_there_are_no_percentiles_but_the_count() -> None:
    whole = merged([agent_pod(number, latency([5, 9], buckets=False)) for number in range(2)])
    [found] = whole.latencies
    assert (found.count, found.p95_ns, found.max_ns, found.mean_ns) == (4, None, 9, 7.0)
    [total] = whole.totals
    assert (total.count, total.p95_ns, total.window_s) == (4, None, 61.0)


def test_what_only_one_pod_has_is_told_as_it_told_it() -> None:
    whole = merged([agent_pod(0, latency([5, 9], buckets=False)), agent_pod(1, latency([], buckets=False))])
    assert whole.latencies[0].p95_ns == latency([5, 9]).p95_ns
    assert whole.totals[0].p95_ns == latency([5, 9]).p95_ns


def test_buckets_that_nobody_can_read_make_no_percentiles() -> None:
    spoilt = latency([5, 9])
    broken = Latency(event=spoilt.event, window_s=5.0, count=2, p95_ns=9, mean_ns=7.0, sketch=b"what")
    [found] = merged([agent_pod(0, latency([5])), agent_pod(1, broken)]).latencies
    assert (found.count, found.p95_ns) == (3, None)
