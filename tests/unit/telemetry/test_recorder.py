"""What a worker thread calls: it never raises, and says once when it cannot record."""

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.clock import FakeClock
from pipeline.config import resolve
from pipeline.telemetry import (
    EventID,
    ListRecorder,
    NullRecorder,
    SelfReport,
    open_recorder,
    self_report,
    telemetry_directory,
)
from pipeline.telemetry.layout import Kind
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.recorder import Recorder, RingRecorder, Written


def drained(recorder: Recorder) -> list[list[int]]:
    assert isinstance(recorder, RingRecorder)
    into = np.zeros((64, 4), dtype=np.int64)
    reader = RingReader(recorder.ring.memory, recorder.ring.identity)
    return [row[:3] for row in into[: reader.drain(into).kept].tolist()]


def under_way(recorder: Recorder) -> list[tuple[int, int]]:
    assert isinstance(recorder, RingRecorder)
    reader = RingReader(recorder.ring.memory, recorder.ring.identity)
    return [(one.at_ns, one.what) for one in reader.under_way()]


def test_each_call_writes_its_kind_of_entry(tmp_path: Path) -> None:
    clock = FakeClock()
    recorder = open_recorder(tmp_path, "agent-0", 64, now=clock.monotonic_ns)
    begun = recorder.start(15, 3)
    assert under_way(recorder) == [(begun, 15 | 3 << 32)]
    clock.advance(ns=500)
    recorder.end(15, begun, 3)
    assert under_way(recorder) == []
    recorder.record(16, 77)
    recorder.count(35, 2)
    recorder.gauge(32, -5, 1)
    at = clock.monotonic_ns()
    assert drained(recorder) == [
        [at, 500, 15 | 3 << 32],
        [at, 77, 16],
        [at, 2, 35 | Kind.COUNT << 24],
        [at, -5, 32 | Kind.GAUGE << 24 | 1 << 32],
    ]
    recorder.close()


def test_a_heartbeat_is_seen_in_the_header(tmp_path: Path) -> None:
    clock = FakeClock()
    recorder = open_recorder(tmp_path, "agent-0", 64, now=clock.monotonic_ns)
    assert isinstance(recorder, RingRecorder)
    clock.advance(s=1)
    recorder.heartbeat()
    assert RingReader(recorder.ring.memory, recorder.ring.identity).heartbeat_ns == clock.monotonic_ns()
    recorder.close()
    recorder.heartbeat()


@pytest.mark.parametrize("wrong", [None, "x", 1.5, 1 << 70, object()])
def test_arguments_of_the_wrong_kind_are_counted_and_never_raise(tmp_path: Path, wrong: Any) -> None:
    recorder = open_recorder(tmp_path, "agent-0", 64)
    assert isinstance(recorder, RingRecorder)
    recorder.record(15, wrong)
    recorder.record(wrong, 1)
    recorder.record(15, 1, wrong)
    recorder.count(15, wrong)
    recorder.gauge(15, wrong)
    recorder.end(wrong, recorder.start(wrong))
    assert under_way(recorder) == []
    assert (recorder.ring.dropped, recorder.ring.facts_dropped) == (4, 2)  # calls, counts and gauges
    recorder.close()


@pytest.mark.parametrize("strange", [4096, 0x4000001, 1 << 33, -1])
def test_an_event_id_beyond_its_bits_is_dropped_and_counted(tmp_path: Path, strange: int) -> None:
    for now in (time.monotonic_ns, FakeClock().monotonic_ns):
        recorder = open_recorder(tmp_path, "agent-0", 64, now=now)
        assert isinstance(recorder, RingRecorder)
        recorder.record(strange, 1)
        recorder.end(strange, recorder.start(strange))
        recorder.count(strange)
        recorder.gauge(strange, 1)
        with recorder.span(strange):
            pass
        assert (recorder.ring.dropped, recorder.ring.facts_dropped, drained(recorder)) == (3, 2, [])
        recorder.close()


def test_an_end_without_a_start_records_nothing(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path, "agent-0", 64)
    recorder.end(15, NullRecorder().start(15))
    assert drained(recorder) == []
    recorder.close()


def test_after_closing_all_calls_do_nothing(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path, "agent-0", 64)
    recorder.close()
    recorder.close()
    recorder.record(1, 2)
    recorder.heartbeat()
    assert recorder.start(1) > 0


def test_a_forgotten_recorder_leaves_and_does_not_die(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path, "agent-0", 64)
    del recorder
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("entries", [63, 0, 1 << 40])
def test_telemetry_that_cannot_be_had_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, entries: int
) -> None:
    with caplog.at_level(logging.WARNING):
        recorder = open_recorder(tmp_path, "agent-0", entries)
    assert not recorder.on
    assert len(caplog.records) == 1
    assert "telemetry of agent-0 is off" in caplog.text


def test_a_directory_that_cannot_be_made_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    recorder = open_recorder(tmp_path / "file" / "rings", "agent-0", 64)
    recorder.record(1, 2)
    assert not recorder.on
    assert caplog.text.count("telemetry of agent-0 is off") == 1


def test_a_null_recorder_takes_every_call() -> None:
    recorder = NullRecorder()
    recorder.record(1, 2)
    recorder.end(1, recorder.start(1))
    recorder.count(1)
    recorder.gauge(1, 2)
    recorder.heartbeat()
    recorder.close()


def test_a_list_recorder_keeps_what_it_was_told() -> None:
    clock = FakeClock()
    recorder = ListRecorder(clock.monotonic_ns)
    recorder.count(EventID.HANDLED, 3, correlation=2)
    assert recorder.written == [Written(clock.monotonic_ns(), Kind.COUNT, EventID.HANDLED, 3, 2)]


def test_the_directory_belongs_to_the_instance() -> None:
    one, other = (telemetry_directory(resolve({"data_dir": name})) for name in ("a", "b"))
    assert one != other
    assert one.parent == Path("/dev/shm")
    assert one == telemetry_directory(resolve({"data_dir": "./a"}))
    assert telemetry_directory(resolve({"telemetry": {"directory": "/x/y"}})) == Path("/x/y")


def test_a_self_report_takes_the_dear_figures_less_often() -> None:
    clock = FakeClock()
    recorder = ListRecorder(clock.monotonic_ns)
    report = SelfReport(recorder, clock)
    for _ in range(20):
        report.report(depth=4)
        clock.advance(ms=100)
    by_event = [written.event_id for written in recorder.written]
    assert by_event.count(EventID.DEPTH) == 20
    assert by_event.count(EventID.CPU) == 10
    assert by_event.count(EventID.MEMORY) == 2
    memory = [written.value for written in recorder.written if written.event_id == EventID.MEMORY]
    assert memory[0] > 1_000_000


def test_memory_that_grows_is_told_within_a_second_and_the_kernel_is_seldom_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resident, asked = [100_000_000], []

    def proportional() -> int:
        asked.append(resident[0])
        return resident[0] // 2

    monkeypatch.setattr(self_report, "resident_bytes", lambda: resident[0])
    monkeypatch.setattr(self_report, "proportional_bytes", proportional)
    clock = FakeClock()
    recorder = ListRecorder(clock.monotonic_ns)
    report = SelfReport(recorder, clock)

    def told() -> int:
        clock.advance(ms=1000)
        report.report()
        assert recorder.written[-1].event_id == EventID.MEMORY
        return recorder.written[-1].value

    assert [told() for _ in range(5)] == [50_000_000] * 5
    assert len(asked) == 1
    resident[0] += 300_000  # less than a 256th
    assert told() == 50_000_000
    resident[0] += 300_000
    assert told() == 50_300_000
    resident[0] -= 10_000_000
    assert told() == 45_300_000
    assert len(asked) == 3
    for _ in range(20):
        told()
    assert len(asked) == 5


def test_the_kernel_tells_both_sizes() -> None:
    assert 1_000_000 < self_report.proportional_bytes() <= 1.1 * self_report.resident_bytes()
