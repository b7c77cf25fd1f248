from __future__ import annotations

from pathlib import Path

from pipeline.stages.malformed import MalformedFrames
from pipeline.stages.meter import LinkMeter
from pipeline.telemetry.events import EventID
from pipeline.telemetry.layout import Kind
from pipeline.telemetry.recorder import ListRecorder

Entry = tuple[Kind, int, int, int]


class Bench:
    def __init__(self, directory: Path, consume: int = 0, publish: int = 0) -> None:
        self.recorder = ListRecorder()
        self.meter = LinkMeter(self.recorder, MalformedFrames(directory, "exec-0"), consume, publish)

    def written(self) -> list[Entry]:
        entries = [(e.kind, e.event_id, e.value, e.correlation) for e in self.recorder.written]
        self.recorder.written.clear()
        return entries


def test_latencies_are_written_as_they_happen_under_the_stages_events(tmp_path: Path) -> None:
    bench = Bench(tmp_path, EventID.EXEC_CONSUME, EventID.FILL_PUBLISH)
    bench.meter.consumed(11, 1)
    bench.meter.published(22, 2)
    assert bench.written() == [
        (Kind.DURATION, EventID.EXEC_CONSUME, 11, 1),
        (Kind.DURATION, EventID.FILL_PUBLISH, 22, 2),
    ]


def test_a_stage_without_such_events_only_counts_what_it_handled(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.meter.consumed(11, 1)
    bench.meter.published(22, 2)
    assert bench.written() == []
    assert bench.meter.handled == 1


def test_sums_wait_for_the_flush_and_start_again_after_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    meter = bench.meter
    for ordinal in (1, 0, 1):
        meter.throttled(ordinal)
        meter.blocked(100)
        meter.consumed(1, 1)
    meter.trade_throttled += 4
    assert bench.written() == []
    meter.flush({}, {})
    assert sorted(bench.written()) == sorted(
        [
            (Kind.COUNT, EventID.BLOCKED, 300, 0),
            (Kind.COUNT, EventID.HANDLED, 3, 0),
            (Kind.COUNT, EventID.TRADE_THROTTLED, 4, 0),
            (Kind.COUNT, EventID.FLOW_THROTTLED, 2, 1),
            (Kind.COUNT, EventID.FLOW_THROTTLED, 1, 0),
        ]
    )
    meter.flush({}, {})
    assert bench.written() == [], "nothing is reported twice"


def test_lags_and_free_credit_are_written_with_each_flush_zeros_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(2):
        bench.meter.flush({0: 0, 3: 70}, {0: 0, 3: 255})
        assert bench.written() == [
            (Kind.GAUGE, EventID.LAG, 0, 0),
            (Kind.GAUGE, EventID.LAG, 70, 3),
            (Kind.GAUGE, EventID.CREDIT, 0, 0),
            (Kind.GAUGE, EventID.CREDIT, 255, 3),
        ]


def test_a_malformed_frame_is_counted_at_once_and_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.meter.malformed(b"junk")
    assert bench.written() == [(Kind.COUNT, EventID.MALFORMED, 1, 0)]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"junk"]
