"""A collector is drained on a thread until it is told to stop, and a failure is not swallowed."""

import threading
from pathlib import Path

import pytest

from pipeline.telemetry import EventID, open_recorder
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.draining import Draining
from pipeline.telemetry.sla import SLAResult


def test_it_drains_until_the_flag_is_set_and_says_so(tmp_path: Path) -> None:
    collector, stop, drained, ended = (
        Collector(tmp_path),
        threading.Event(),
        threading.Event(),
        threading.Event(),
    )
    recorder = open_recorder(tmp_path, "agent-0", 64)
    recorder.record(EventID.AGENT_DECISION, 5)

    def note(_breaches: list[SLAResult]) -> None:
        if collector.aggregate.entries:
            drained.set()

    with Draining(collector, stop, note, ended.set, lock=threading.RLock()):
        assert drained.wait(10)
        stop.set()
        assert ended.wait(10)
    recorder.close()
    collector.close()


def test_what_fails_is_raised_where_it_is_waited_for(tmp_path: Path) -> None:
    collector, ended = Collector(tmp_path), threading.Event()

    def fail(_breaches: list[SLAResult]) -> None:
        raise LookupError("broken")

    def run() -> None:
        with Draining(collector, threading.Event(), fail, ended.set, lock=threading.RLock()):
            assert ended.wait(10)

    with pytest.raises(LookupError, match="broken"):
        run()


def test_a_new_ring_is_urgent_until_it_was_looked_for(tmp_path: Path) -> None:
    collector = Collector(tmp_path)
    collector.tick()
    recorder = open_recorder(tmp_path, "agent-0", 64)
    assert collector.urgent
    collector.tick()
    assert [source.worker for source in collector.sources] == ["agent-0"]
    for _ in range(17):
        recorder.record(EventID.AGENT_DECISION, 5)
    assert collector.urgent
    recorder.close()
    collector.close()


def test_rings_made_within_one_tick_of_the_folders_clock_are_all_seen(tmp_path: Path) -> None:
    collector, recorders = Collector(tmp_path), []
    for number in range(40):
        recorders.append(open_recorder(tmp_path, f"agent-{number}", 64))
        assert collector.urgent
        collector.tick()
        assert len(collector.sources) == number + 1
    for recorder in recorders:
        recorder.close()
    collector.close()
