"""The snapshot, from what workers and their senders wrote."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.clock import FakeClock
from pipeline.messages import Outcome
from pipeline.snapshot import Counts, Snapshot, decode_snapshot, encode_snapshot
from pipeline.telemetry import EventID, open_recorder
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.recorder import Recorder, RingRecorder
from pipeline.telemetry.sketch import Sketch
from pipeline.telemetry.view import STALE_GAUGE_NS, build_snapshot


class House:
    """A few workers, a collector, and a clock that stands until it is moved."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock(monotonic_ns=10**12)
        self._directory = directory
        self.collector = Collector(directory, now=self.clock.monotonic_ns)
        self.recorders: list[Recorder] = []

    def worker(self, name: str) -> Recorder:
        self.recorders.append(open_recorder(self._directory, name, 256, now=self.clock.monotonic_ns))
        return self.recorders[-1]

    def snapshot(self) -> Snapshot:
        self.collector.tick(final=True)
        found = build_snapshot(self.collector, self.clock.monotonic_ns(), self.clock.wall_us())
        assert decode_snapshot(encode_snapshot(found)) == found
        return found

    def brief(self) -> Snapshot:
        return build_snapshot(
            self.collector, self.clock.monotonic_ns(), self.clock.wall_us(), brief=True, counts_s=(1, 5)
        )


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.integers(0, 1), st.integers(1, 10**8)),
        st.tuples(st.just("count"), st.integers(0, 1), st.integers(1, 9)),
        st.tuples(st.just("gauge"), st.integers(0, 1), st.integers(0, 9)),
        st.tuples(st.sampled_from(("tick", "brief")), st.just(0), st.just(0)),
        st.tuples(st.just("pass"), st.just(0), st.sampled_from((40, 100, 700, 5000))),
    ),
    max_size=40,
)


@given(steps)
@settings(deadline=None)
def test_who_asked_briefly_before_changes_nothing_of_what_is_told_later(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    asked, left_alone = (House(tmp_path_factory.mktemp("house")) for _ in range(2))
    for house in (asked, left_alone):
        workers = [house.worker("gateway-0"), house.worker("agent-0")]
        for what, which, value in steps:
            if what == "record":
                workers[which].record(EventID.AGENT_DECISION, value)
            elif what == "count":
                workers[which].count(EventID.HANDLED, value)
            elif what == "gauge":
                workers[which].gauge(EventID.LAG, value)
            elif what == "pass":
                house.clock.advance(ms=value)
            else:
                house.collector.tick()
                if what == "brief" and house is asked:
                    house.brief()
        for recorder in workers:
            recorder.close()
    assert asked.brief() == msgspec.structs.replace(left_alone.brief(), taken_us=asked.clock.wall_us())
    assert asked.snapshot() == left_alone.snapshot()


def test_a_brief_snapshot_has_what_was_counted_and_leaves_calls_to_be_added_up_together(house: House) -> None:
    agent = house.worker("agent-0")
    house.collector.tick()
    for calls in (1, 2, 3):
        agent.record(EventID.AGENT_DECISION, 1000)
        agent.count(EventID.HANDLED, 1)
        agent.gauge(EventID.DEPTH, calls)
        house.collector.tick()
        brief = house.brief()
        assert (brief.stages[0].counts[0].handled, brief.replicas[0].depth) == (calls, calls)
        assert not house.collector.facts.latencies.series
    assert house.collector.aggregate.entries == 9
    [latency] = {one.count for one in house.snapshot().totals}
    assert latency == 3


def test_lag_and_credit_are_what_the_senders_say(house: House) -> None:
    gateway, agent, other = house.worker("gateway-0"), house.worker("agent-0"), house.worker("agent-1")
    house.worker("exec-0")
    gateway.gauge(EventID.LAG, 7_000_000, 1)
    gateway.gauge(EventID.CREDIT, 30, 1)
    for sender, lag, credit in ((agent, 2_000_000, 10), (other, 9_000_000, 5)):
        sender.gauge(EventID.LAG, lag, 0)
        sender.gauge(EventID.CREDIT, credit, 0)
    found = {replica.name: replica for replica in house.snapshot().replicas}
    assert list(found) == ["gateway-0", "agent-0", "agent-1", "exec-0"]
    assert (found["agent-1"].lag_ms, found["agent-1"].credit) == (7.0, 30)
    assert (found["exec-0"].lag_ms, found["exec-0"].credit) == (9.0, 15)
    assert found["gateway-0"].lag_ms is None
    assert found["agent-0"].lag_ms is None


def test_a_stage_has_the_worst_lag_and_the_sums_of_its_replicas(house: House) -> None:
    gateway = house.worker("gateway-0")
    for ordinal in range(2):
        agent = house.worker(f"agent-{ordinal}")
        agent.gauge(EventID.DEPTH, 3 + ordinal)
        agent.count(EventID.HANDLED, 10)
        agent.count(EventID.BLOCKED, 1_500_000)
        agent.count(EventID.TRADE_THROTTLED, 2)
        gateway.gauge(EventID.LAG, 1_000_000 * (ordinal + 1), ordinal)
        gateway.count(EventID.FLOW_THROTTLED, 4, ordinal)
    stage = next(stage for stage in house.snapshot().stages if stage.stage == "agent")
    assert (stage.lag_ms, stage.depth) == (2.0, 7)
    assert stage.counts[0] == Counts(
        window_s=1, handled=20, flow_throttled=8, trade_throttled=4, blocked_ms=3.0
    )
    assert [counts.window_s for counts in stage.counts] == [1, 5, 60]


def test_counts_of_a_worker_that_left_stay_in_its_stages_windows(house: House) -> None:
    recorder = house.worker("agent-0")
    recorder.count(EventID.HANDLED, 10)
    house.snapshot()
    assert isinstance(recorder, RingRecorder)
    recorder.ring.abandon()
    found = house.snapshot()
    assert found.replicas == ()
    assert [dead.name for dead in found.dead] == ["agent-0"]
    house.worker("agent-1")
    stage = house.snapshot().stages[0]
    assert stage.counts[2].handled == 10


def test_age_is_the_time_since_the_last_sign_of_life(house: House) -> None:
    recorder = house.worker("agent-0")
    house.clock.advance(s=2)
    assert house.snapshot().replicas[0].age_ms == 2000
    recorder.heartbeat()
    house.clock.advance(ms=300)
    assert house.snapshot().replicas[0].age_ms == 300


def test_a_worker_elsewhere_is_known_by_its_senders_until_they_stop_writing(house: House) -> None:
    gateway = house.worker("gateway-0")
    gateway.gauge(EventID.LAG, 5_000_000, 3)
    names = [replica.name for replica in house.snapshot().replicas]
    assert names == ["gateway-0", "agent-3"]
    house.clock.advance(ns=STALE_GAUGE_NS + 1)
    assert [replica.name for replica in house.snapshot().replicas] == ["gateway-0"]


def test_processor_and_memory_come_from_gauges(house: House) -> None:
    recorder = house.worker("agent-0")
    for _ in range(12):
        recorder.gauge(EventID.CPU, house.clock.monotonic_ns() // 4)
        recorder.gauge(EventID.MEMORY, 40_000_000)
        house.clock.advance(ms=100)
    replica = house.snapshot().replicas[0]
    assert replica.cpu_percent == pytest.approx(25)
    assert replica.memory_bytes == 40_000_000


def test_two_rings_of_a_worker_are_one_replica(house: House) -> None:
    house.worker("gateway-0").gauge(EventID.DEPTH, 5)
    house.worker("gateway-0").record(EventID.JOURNAL_WRITE, 10)
    [replica] = house.snapshot().replicas
    assert replica.depth == 5


def test_latencies_are_for_every_event_and_window_by_stage_and_together(house: House) -> None:
    house.worker("agent-0").record(EventID.EVENT_LOOP_LAG, 100)
    house.worker("exec-0").record(EventID.EVENT_LOOP_LAG, 200)
    found = house.snapshot()
    assert [(one.window_s, one.count, one.min_ns, one.max_ns) for one in found.latencies] == [
        (window_s, 2, 100, 200) for window_s in (1, 5, 60)
    ]
    assert [[one.count for one in stage.latencies] for stage in found.stages] == [[1, 1, 1], [1, 1, 1]]
    house.clock.advance(s=3)
    assert [one.count for one in house.snapshot().latencies] == [0, 2, 2]
    [total] = house.snapshot().totals
    assert (total.count, total.window_s) == (2, 3)
    assert house.snapshot().latencies[0].p95_ns is None


def test_losses_are_said_with_the_figures_they_touch(house: House) -> None:
    recorder = house.worker("agent-0")
    for _ in range(260):
        recorder.record(EventID.AGENT_DECISION, 5)
    house.worker("exec-0").record(EventID.FILL_GENERATION, 5)
    found = house.snapshot()
    assert found.lost == 4
    lost = {one.event: one.lost for one in found.latencies}
    assert lost == {"AGENT_DECISION": 4, "FILL_GENERATION": 0}
    assert {one.event: one.lost for one in found.totals} == lost


def test_outcomes_are_counted_by_name(house: House) -> None:
    recorder = house.worker("audit-0")
    for index, outcome in enumerate(Outcome):
        recorder.count(EventID.OUTCOME, index + 1, index)
        assert house.snapshot().outcomes[outcome] == index + 1


def test_verdicts_are_in_the_snapshot(house: House) -> None:
    recorder = house.worker("agent-0")
    for _ in range(30):
        recorder.record(EventID.AGENT_DECISION, 40_000_000)
    found = {(one.percentile, one.window_s): one for one in house.snapshot().slas}
    assert found[95, 1].verdict == "violated"
    assert (found[95, 1].limit_ns, found[95, 1].count) == (30_000_000, 30)


def test_buckets_are_handed_out_when_asked_for_and_merge_to_the_percentile_of_all(house: House) -> None:
    one, other = house.worker("agent-0"), house.worker("agent-1")
    for _ in range(60):
        one.record(EventID.AGENT_DECISION, 5_000)
        other.record(EventID.AGENT_DECISION, 9_000)
        other.record(EventID.AGENT_PUBLISH, 1_000)
    assert all(latency.sketch is None for stage in house.snapshot().stages for latency in stage.latencies)
    asked = build_snapshot(
        house.collector, house.clock.monotonic_ns(), house.clock.wall_us(), {"AGENT_DECISION"}
    )
    assert decode_snapshot(encode_snapshot(asked)) == asked
    [stage] = asked.stages
    sketches = {(told.event, told.window_s): told.sketch for told in stage.latencies}
    assert sketches["AGENT_PUBLISH", 1.0] is None
    found = sketches["AGENT_DECISION", 1.0]
    assert found is not None
    merged = Sketch.from_bytes(found)
    merged.merge(Sketch.from_bytes(found))  # as if two pods had said the same
    assert (merged.count, merged.minimum, merged.maximum) == (240, 5_000, 9_000)
    assert merged.quantile(99) == pytest.approx(9_000, rel=0.004)
    assert all(told.sketch is None for told in asked.latencies)
