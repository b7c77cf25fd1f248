"""A collector among living, dead, foreign and broken rings."""

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from pipeline import limits
from pipeline.clock import FakeClock
from pipeline.errors import MissingError
from pipeline.telemetry import EventID, event_name
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.counters import LOST, CounterKey
from pipeline.telemetry.discovery import DRAFT_LIFE_NS, CollectorLock
from pipeline.telemetry.layout import ENTRIES_BYTE, HEAD_BYTE, Mode
from pipeline.telemetry.native import reading
from pipeline.telemetry.prometheus import render
from pipeline.telemetry.proofs import sequences
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.recorder import Recorder, RingRecorder, open_recorder
from pipeline.telemetry.ring import COLLECTOR_LOCK
from pipeline.telemetry.sla import Verdict, thresholds_ms
from pipeline.telemetry.view import build_snapshot
from pipeline.telemetry.windows import SLOT_NS


def die(recorder: Recorder) -> None:
    """What the kernel does for a killed writer: its lock is gone, and nothing is said."""
    assert isinstance(recorder, RingRecorder)
    recorder.ring.abandon()


def until(done: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.001)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(monotonic_ns=10**12)


@pytest.fixture
def collector(tmp_path: Path, clock: FakeClock) -> Collector:
    return Collector(tmp_path, now=clock.monotonic_ns)


@pytest.fixture
def shared_memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


def opened(tmp_path: Path, clock: FakeClock, worker: str = "agent-0", entries: int = 64) -> Recorder:
    return open_recorder(tmp_path, worker, entries, now=clock.monotonic_ns)


def count_of(collector: Collector, event_id: int) -> int:
    found = [one for (_, event), one in collector.aggregate.latencies.series.items() if event == event_id]
    return collector.aggregate.latencies.figures(found, None).count


def test_rings_are_found_drained_and_left_alone_while_their_writers_live(
    tmp_path: Path, clock: FakeClock, collector: Collector
) -> None:
    recorder = opened(tmp_path, clock)
    collector.tick()
    recorder.record(EventID.AGENT_DECISION, 1000)
    collector.tick()
    collector.tick(final=True)
    assert count_of(collector, EventID.AGENT_DECISION) == 1
    assert len(list(tmp_path.iterdir())) == 1
    recorder.close()
    collector.close()


def test_a_dead_writers_ring_is_folded_reported_and_unlinked(
    tmp_path: Path, clock: FakeClock, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = opened(tmp_path, clock, "agent-1")
    recorder.start(EventID.AGENT_CONSUME)
    recorder.end(EventID.AGENT_DECISION, recorder.start(EventID.AGENT_DECISION))
    recorder.start(EventID.AGENT_PUBLISH)
    die(recorder)
    clock.advance(ms=200)
    with caplog.at_level(logging.WARNING):
        collector.tick(final=True)
    [dead] = collector.dead
    assert (dead.name, dead.pid, dead.silent_ms) == ("agent-1", os.getpid(), 200)
    assert dead.inside == ("AGENT_CONSUME", "AGENT_PUBLISH")
    assert "worker agent-1" in caplog.text
    assert count_of(collector, EventID.AGENT_DECISION) == 1
    assert {path.suffix for path in tmp_path.iterdir()} <= {".flight"}
    assert len(list(tmp_path.iterdir())) <= limits.MAX_FLIGHTS
    assert not collector.sources


def test_a_writer_that_left_is_folded_and_not_called_dead(tmp_path: Path, clock: FakeClock) -> None:
    lock = CollectorLock(tmp_path)
    collector = Collector(tmp_path, now=clock.monotonic_ns)
    recorder = opened(tmp_path, clock)
    recorder.start(EventID.AGENT_CONSUME)
    recorder.record(EventID.AGENT_DECISION, 5)
    recorder.close()
    collector.tick(final=True)
    assert not collector.dead
    assert count_of(collector, EventID.AGENT_DECISION) == 1
    lock.release()
    assert not tmp_path.exists()


def test_a_restarted_collector_counts_nothing_twice_and_says_what_was_lost_meanwhile(
    tmp_path: Path, clock: FakeClock, collector: Collector
) -> None:
    recorder = opened(tmp_path, clock)
    for _ in range(70):
        recorder.record(15, 1)
    collector.tick(final=True)
    assert (count_of(collector, 15), collector.lost()) == (64, 6)
    collector.close()
    for _ in range(66):
        recorder.record(15, 1)
    second = Collector(tmp_path, now=clock.monotonic_ns)
    second.tick(final=True)
    assert (count_of(second, 15), second.lost()) == (64, 2)
    recorder.close()
    second.close()


def test_what_a_writer_left_while_no_collector_ran_is_counted_by_the_next(
    tmp_path: Path, clock: FakeClock, collector: Collector
) -> None:
    known = opened(tmp_path, clock)
    known.record(15, 1)
    collector.tick(final=True)
    collector.close()
    (tmp_path / COLLECTOR_LOCK).touch()  # as a killed collector leaves it
    new = opened(tmp_path, clock, "agent-1")
    for recorder in (known, new):
        for _ in range(70):
            recorder.record(15, 1)
        recorder.close()
    second = Collector(tmp_path, now=clock.monotonic_ns)
    second.tick(final=True)
    assert (count_of(second, 15), second.lost(), len(second.dead)) == (128, 12, 0)
    assert [path.name for path in tmp_path.iterdir()] == [COLLECTOR_LOCK]
    second.close()


def test_writers_that_leave_without_end_while_no_collector_runs_fill_no_memory(
    tmp_path: Path, clock: FakeClock
) -> None:
    (tmp_path / COLLECTOR_LOCK).touch()
    for number in range(limits.MAX_LEFT_RINGS + 20):
        recorder = opened(tmp_path, clock, f"agent-{number}")
        recorder.record(15, 1)
        recorder.close()
    assert len(list(tmp_path.glob("*.ring"))) <= limits.MAX_LEFT_RINGS + 1
    living = opened(tmp_path, clock)
    recorder = opened(tmp_path, clock)
    recorder.record(15, 1)
    recorder.close()
    assert isinstance(living, RingRecorder)
    assert living.ring.path is not None
    assert living.ring.path.exists()
    living.close()


def test_a_loss_is_counted_and_spoils_the_verdict_however_many_counters_there_are(
    tmp_path: Path, clock: FakeClock
) -> None:
    thresholds = thresholds_ms(EventID.AGENT_DECISION, p95=1)
    collector = Collector(tmp_path, thresholds=thresholds, now=clock.monotonic_ns)
    counters = collector.aggregate.counters
    for number in range(limits.MAX_COUNTERS + 1):
        counters.add_one(clock.monotonic_ns(), CounterKey(f"job-{number}", 35), 1)
    for stage in ("agent", *(f"stage{number}" for number in range(200))):  # more than may be told apart
        counters.add_one(clock.monotonic_ns(), CounterKey(stage, LOST), 1)
    recorder = opened(tmp_path, clock, "agentlike-0")
    for _ in range(1000):
        recorder.record(EventID.AGENT_DECISION, 5)
    collector.tick(final=True)
    assert collector.lost() == 201 + 1000 - 64
    assert collector.lost_of({"agentlike"}) > 1000 - 64
    assert {verdict for *_, verdict in collector.verdicts()} == {Verdict.UNKNOWN}
    recorder.close()
    collector.close()


def test_a_collector_that_comes_later_knows_what_was_begun_before(tmp_path: Path, clock: FakeClock) -> None:
    recorder = opened(tmp_path, clock)
    recorder.end(EventID.AGENT_CONSUME, recorder.start(EventID.AGENT_CONSUME))
    recorder.start(EventID.AGENT_DECISION, 7)
    for _ in range(2):
        collector = Collector(tmp_path, now=clock.monotonic_ns)
        collector.tick(final=True)
        collector.close()
    clock.advance(ms=1)
    recorder.start(EventID.AGENT_PUBLISH)
    clock.advance(ms=300)
    collector = Collector(tmp_path, now=clock.monotonic_ns)
    die(recorder)
    collector.tick(final=True)
    [dead] = collector.dead
    assert dead.inside == ("AGENT_DECISION for event 00000007", "AGENT_PUBLISH")
    assert dead.silent_ms == 300
    assert count_of(collector, EventID.AGENT_CONSUME) == 0
    collector.close()


def test_the_last_sign_of_life_is_also_known_of_what_an_earlier_collector_took(
    tmp_path: Path, clock: FakeClock
) -> None:
    recorder = opened(tmp_path, clock)
    clock.advance(s=5)
    recorder.record(EventID.AGENT_DECISION, 5)
    first = Collector(tmp_path, now=clock.monotonic_ns)
    first.tick(final=True)
    first.close()
    clock.advance(ms=200)
    second = Collector(tmp_path, now=clock.monotonic_ns)
    die(recorder)
    second.tick(final=True)
    assert second.dead[0].silent_ms == 200
    second.close()


def test_a_breach_that_ends_without_another_record_may_begin_again(tmp_path: Path, clock: FakeClock) -> None:
    thresholds = thresholds_ms(EventID.AGENT_DECISION, p95=1)
    collector = Collector(tmp_path, thresholds=thresholds, windows_s=(1,), now=clock.monotonic_ns)
    recorder, told = opened(tmp_path, clock, entries=256), []
    for _ in range(3):
        for _ in range(30):
            recorder.record(EventID.AGENT_DECISION, 2_000_000)
        for _ in range(20):
            clock.advance(ms=100)
            told += [result.verdict for result in collector.tick()]
    assert told == [Verdict.VIOLATED] * 3
    recorder.close()
    collector.close()


def test_what_a_writer_left_where_nobody_ever_collected_is_counted_by_the_first(
    tmp_path: Path, clock: FakeClock
) -> None:
    opened(tmp_path, clock, "agent-0").close()  # nothing was recorded: nothing is left
    assert not list(tmp_path.iterdir())
    for name, records in (("agent-1", 5), ("agent-2", 70)):
        recorder = opened(tmp_path, clock, name)
        for _ in range(records):
            recorder.record(15, 1)
        recorder.close()
    collector = Collector(tmp_path, now=clock.monotonic_ns)
    collector.tick(final=True)
    assert (count_of(collector, 15), collector.lost(), len(collector.dead)) == (5 + 64, 6, 0)
    assert not list(tmp_path.iterdir())
    collector.close()


@pytest.mark.parametrize(("taken", "written"), [(0, 10), (0, 4096), (4000, 100), (4000, 200), (3000, 4000)])
def test_a_ring_that_is_left_keeps_only_the_memory_of_what_nobody_has_taken(
    shared_memory: Path, clock: FakeClock, taken: int, written: int
) -> None:
    tmp_path = shared_memory
    recorder = opened(tmp_path, clock, entries=4096)
    for _ in range(taken):
        recorder.record(15, 1)
    collector = Collector(tmp_path, now=clock.monotonic_ns)
    collector.tick(final=True)
    collector.close()
    for number in range(written):
        recorder.record(15, 1000 + number)
    recorder.close()
    [path] = tmp_path.iterdir()
    begins_and_ends = 2 if written <= 4096 - taken else 4  # of what lies together, a page each at most
    assert path.stat().st_blocks * 512 <= ENTRIES_BYTE + written * 32 + begins_and_ends * 4096
    second = Collector(tmp_path, now=clock.monotonic_ns)
    second.tick(final=True)
    found = second.aggregate.latencies.totals
    assert (count_of(second, 15), second.lost()) == (written, 0)
    assert int(found.sums()[0]) == sum(range(1000, 1000 + written))
    second.close()


def test_who_removes_what_was_left_says_so_and_the_next_collector_tells_the_loss(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.telemetry.left_rings._removed", count(1))  # of this process
    for number in range(limits.MAX_LEFT_RINGS + 3):
        recorder = opened(tmp_path, clock, f"agent-{number}")
        for _ in range(7):
            recorder.record(15, 1)
        recorder.close()
    assert "removed with 7 calls that no collector has taken" in caplog.text
    kept = len(list(tmp_path.glob("*.ring")))
    assert kept <= limits.MAX_LEFT_RINGS + 1
    collector = Collector(tmp_path, now=clock.monotonic_ns)
    collector.tick(final=True)
    assert count_of(collector, 15) == 7 * kept
    assert count_of(collector, 15) + collector.lost() == 7 * (limits.MAX_LEFT_RINGS + 3)
    collector.close()


def test_a_flight_recorder_loses_its_oldest_and_says_how_many(
    tmp_path: Path, clock: FakeClock, collector: Collector
) -> None:
    recorder = open_recorder(tmp_path, "agent-0", 64, mode=Mode.FLIGHT_RECORDER, now=clock.monotonic_ns)
    for _ in range(100):
        recorder.record(15, 1)
    collector.tick(final=True)
    assert (count_of(collector, 15), collector.lost()) == (63, 37)
    recorder.close()
    collector.close()


def test_what_is_no_ring_is_named_once_and_left_where_it_is(tmp_path: Path, clock: FakeClock) -> None:
    good = opened(tmp_path, clock)
    assert isinstance(good, RingRecorder)
    assert good.ring.path is not None
    whole = good.ring.path.read_bytes()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty.ring").touch()
    (tmp_path / "short.ring").write_bytes(whole[:5000])
    (tmp_path / "garbage.ring").write_bytes(random.Random(1).randbytes(9000))
    (tmp_path / "newer.ring").write_bytes(whole[:8] + b"\x09" + whole[9:])
    (tmp_path / "folder.ring").mkdir()
    (tmp_path / "link.ring").symlink_to(good.ring.path)
    os.mkfifo(tmp_path / "pipe.ring")
    collector = Collector(tmp_path, now=clock.monotonic_ns)
    for _ in range(3):
        collector.tick(final=True)
        good.record(15, 1)
    assert collector.folder.refused == {
        "foreign_name": 1, "too_short": 1, "bad_size": 1, "bad_magic": 1, "other_version": 1,
        "cannot_open": 2, "not_a_file": 1,
    }  # fmt: skip
    assert len(list(tmp_path.iterdir())) == 9
    assert count_of(collector, 15) == 2
    good.close()
    collector.close()


@pytest.mark.parametrize("harm", ["truncate", "absurd head"])
def test_a_ring_that_goes_bad_is_dropped_and_the_others_go_on(
    tmp_path: Path, clock: FakeClock, collector: Collector, harm: str
) -> None:
    bad, good = opened(tmp_path, clock, "agent-0"), opened(tmp_path, clock, "agent-1")
    collector.tick(final=True)
    assert isinstance(bad, RingRecorder)
    assert bad.ring.path is not None
    if harm == "truncate":
        os.truncate(bad.ring.path, 64)
    else:
        with bad.ring.path.open("r+b") as file:
            file.seek(HEAD_BYTE)
            file.write(b"\xff" * 8)
    good.record(15, 1)
    collector.tick(final=True)
    collector.tick(final=True)
    assert collector.folder.refused["truncated" if harm == "truncate" else "absurd_head"] == 1
    assert [source.worker for source in collector.sources] == ["agent-1"]
    assert count_of(collector, 15) == 1
    assert len(list(tmp_path.iterdir())) == 2
    bad.ring.abandon()
    collector.tick(final=True)
    assert len(list(tmp_path.iterdir())) == 1
    good.close()
    collector.close()


def test_a_ring_that_could_not_be_opened_is_tried_again(
    tmp_path: Path, clock: FakeClock, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(_path: Path) -> RingReader:
        raise OSError(24, "Too many open files")

    recorder = opened(tmp_path, clock)
    with monkeypatch.context() as patch:
        patch.setattr(RingReader, "attach", exhausted)
        collector.tick(final=True)
        collector.tick(final=True)
    assert collector.folder.refused == {"cannot_open": 1}
    recorder.record(15, 1)
    collector.tick(final=True)
    assert count_of(collector, 15) == 1
    recorder.close()
    collector.close()


def test_a_draft_of_a_killed_writer_is_removed_after_a_while(
    tmp_path: Path, clock: FakeClock, collector: Collector
) -> None:
    draft = tmp_path / "agent-0.1.ab.draft"
    draft.touch()
    collector.tick(final=True)
    assert draft.exists()
    clock.advance(ns=DRAFT_LIFE_NS)
    collector.tick(final=True)
    assert not draft.exists()


def test_churned_rings_leave_no_file_and_no_source_behind(
    tmp_path: Path, clock: FakeClock, collector: Collector
) -> None:
    for round_number in range(100):
        writers = [opened(tmp_path, clock, f"agent-{ordinal}") for ordinal in range(20)]
        for writer in writers:
            writer.record(15, round_number)
        collector.tick(final=True)
        for writer in writers:
            die(writer)
    collector.tick(final=True)
    assert count_of(collector, 15) == 2000
    assert {path.suffix for path in tmp_path.iterdir()} <= {".flight"}
    assert len(list(tmp_path.iterdir())) <= limits.MAX_FLIGHTS
    assert not collector.sources
    assert collector.deaths == 2000
    assert len(list(Path("/proc/self/fd").iterdir())) < 100
    begun = time.perf_counter()
    render(collector, clock.monotonic_ns())
    assert time.perf_counter() - begun < 0.1  # prometheus_client's multiprocess mode: 0.7 s for half as many


def test_a_batch_larger_than_the_scratch_is_taken_in_parts(
    tmp_path: Path, clock: FakeClock, collector: Collector
) -> None:
    recorder = opened(tmp_path, clock, entries=1 << 17)
    for _ in range(100_000):
        recorder.record(15, 3)
    collector.tick(final=True)
    assert count_of(collector, 15) == 100_000
    recorder.close()
    collector.close()


def test_a_late_drain_does_not_keep_the_next_one_from_telling_a_breach(
    tmp_path: Path, clock: FakeClock
) -> None:
    one, other = EventID.AGENT_DECISION, EventID.AGENT_PUBLISH
    thresholds = thresholds_ms(one, p95=1) + thresholds_ms(other, p95=1)
    collector = Collector(tmp_path, thresholds=thresholds, windows_s=(1,), now=clock.monotonic_ns)
    recorder = opened(tmp_path, clock, entries=1024)
    for event, late_ms in ((one, 30), (other, 0)):  # the first is told 30 ms after the end of its step
        for _ in range(200):
            recorder.record(event, 10**8)
        clock.advance(ns=SLOT_NS - clock.monotonic_ns() % SLOT_NS, ms=late_ms)
        assert [breach.threshold.event_id for breach in collector.tick()] == [event]
    recorder.close()
    collector.close()


def test_a_breach_is_told_once_when_it_begins(tmp_path: Path, clock: FakeClock) -> None:
    thresholds = thresholds_ms(EventID.AGENT_DECISION, p95=1)
    collector = Collector(tmp_path, thresholds=thresholds, windows_s=(1,), now=clock.monotonic_ns)
    recorder = opened(tmp_path, clock, entries=256)
    told = []
    for slow in (False, True, True, False, True):
        for _ in range(30):
            recorder.record(EventID.AGENT_DECISION, 2_000_000 if slow else 1000)
        told.append([result.verdict for result in collector.tick(final=True)])
        clock.advance(s=2)
    assert told == [[], [Verdict.VIOLATED], [], [], [Verdict.VIOLATED]]
    recorder.close()
    collector.close()


@pytest.mark.parametrize("read_in", ["C", "Python"])
def test_a_breach_drained_after_its_step_was_judged_is_told_in_the_next_and_only_once(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, read_in: str
) -> None:
    if read_in == "Python":
        for module in ("reader", "collector"):
            monkeypatch.setattr(f"pipeline.telemetry.{module}.reading", None)
    collector = Collector(tmp_path, now=clock.monotonic_ns)
    recorder = opened(tmp_path, clock, "web-0", 1024)
    clock.advance(ns=SLOT_NS)
    recorder.record(EventID.CANDLE_PROCESSING, 6_000_000)  # slow for another event, not for this one
    assert collector.tick() == []
    clock.advance(ms=40)
    for _ in range(300):
        recorder.record(EventID.CANDLE_PROCESSING, 900_000_000)
    assert collector.urgent
    assert collector.tick() == []
    told = []
    for _ in range(5):
        clock.advance(ns=SLOT_NS)
        told.append({breach.threshold.percentile for breach in collector.tick()})
    assert told == [{95, 99}, set(), set(), set(), set()]
    recorder.close()
    collector.close()


def test_a_breach_that_a_writer_left_behind_at_the_last_moment_is_told(
    tmp_path: Path, clock: FakeClock, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It records and dies after its ring was drained and before it is found to be gone."""
    recorder, is_gone = opened(tmp_path, clock, "web-0", 1024), RingReader.writer_is_gone
    collector.tick()

    def die_first(reader: RingReader) -> bool:
        for _ in range(300):
            recorder.record(EventID.CANDLE_PROCESSING, 900_000_000)
        die(recorder)
        return is_gone(reader)

    monkeypatch.setattr(RingReader, "writer_is_gone", die_first)
    clock.advance(s=1)
    assert {breach.threshold.percentile for breach in collector.tick()} == {95, 99}
    collector.close()


def test_a_second_collector_is_refused_in_one_line(tmp_path: Path) -> None:
    lock = CollectorLock(tmp_path)
    with pytest.raises(MissingError, match="another collector drains it") as refused:
        CollectorLock(tmp_path)
    assert "\n" not in str(refused.value)
    lock.release()
    CollectorLock(tmp_path).release()


def test_a_lock_file_left_behind_hinders_nobody(tmp_path: Path) -> None:
    (tmp_path / COLLECTOR_LOCK).touch()
    CollectorLock(tmp_path).release()


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MissingError, match="cannot be used"):
        CollectorLock(tmp_path / "file")


def test_a_collector_survives_a_directory_that_goes_away_and_says_so_once(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "gone"
    collector = Collector(directory, now=clock.monotonic_ns)
    for times in (1, 2):
        for _ in range(5):
            collector.tick(final=True)
        assert caplog.text.count("cannot be read") == times
        assert not collector.urgent
        if reading is not None:
            due_ns = time.monotonic_ns() + 20_000_000
            assert collector.sleep(due_ns, 1_000_000) is False
        assert build_snapshot(collector, clock.monotonic_ns(), clock.wall_us()).replicas == ()
        directory.mkdir()
        assert collector.urgent
        collector.tick(final=True)
        directory.rmdir()


@pytest.mark.parametrize("whole", [True, False])
def test_a_lock_that_was_removed_is_taken_anew_before_rings_are_looked_for(
    tmp_path: Path, clock: FakeClock, whole: bool
) -> None:
    directory = tmp_path / "rings"
    lock = CollectorLock(directory)
    collector = Collector(directory, now=clock.monotonic_ns, renew_lock=lock.renew)
    collector.tick(final=True)
    if whole:
        shutil.rmtree(directory)
        collector.tick(final=True)
        assert not directory.exists()
    else:
        lock.path.unlink()
    recorder = opened(directory, clock)
    recorder.record(15, 5)
    collector.tick(final=True)
    assert count_of(collector, 15) == 1
    with pytest.raises(MissingError, match="another collector drains it"):
        CollectorLock(directory)
    recorder.close()
    collector.tick(final=True)
    collector.close()
    lock.release()
    assert not directory.exists()


def test_who_finds_another_collector_in_a_folder_made_anew_ends(tmp_path: Path, clock: FakeClock) -> None:
    directory = tmp_path / "rings"
    lock = CollectorLock(directory)
    collector = Collector(directory, now=clock.monotonic_ns, renew_lock=lock.renew)
    collector.tick(final=True)
    shutil.rmtree(directory)
    other = CollectorLock(directory)
    recorder = opened(directory, clock)
    with pytest.raises(MissingError, match="another collector drains it"):
        collector.tick(final=True)
    assert collector.sources == []
    collector.close()
    lock.release()
    assert other.is_held()
    recorder.close()
    other.release()


KILLED_WRITER = """
import sys
from pathlib import Path
from pipeline.telemetry.layout import Mode
from pipeline.telemetry.ring import create_ring

ring = create_ring(Path(sys.argv[1]), "agent-0", 1 << 15, mode=Mode(int(sys.argv[2])))
number = 0
while True:
    number += 1
    ring.put(number, number * 7, 15)
"""


@pytest.mark.parametrize(
    ("mode", "kills"),
    [
        *((mode, 5) for mode in Mode),
        *(pytest.param(mode, 150, marks=(pytest.mark.slow, pytest.mark.timeout(600))) for mode in Mode),
    ],
)
def test_what_a_killed_writer_published_is_whole(tmp_path: Path, mode: Mode, kills: int) -> None:
    dice = random.Random(mode)
    for _ in range(kills):
        writer = subprocess.Popen([sys.executable, "-c", KILLED_WRITER, str(tmp_path), str(int(mode))])
        collector = Collector(tmp_path)
        until(lambda collector=collector: bool(collector.tick(final=True) or collector.sources))  # type: ignore[misc]
        [source] = collector.sources
        until(lambda source=source: source.reader.waiting > dice.randrange(60_000))  # type: ignore[misc]
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        into = np.zeros((1 << 15, 4), dtype=np.int64)
        waiting, first = source.reader.waiting, source.reader.drain(into, final=True)
        rows = into[: first.kept]
        assert (rows[:, 1] == rows[:, 0] * 7).all()
        assert (rows[:, 2] == 15).all()
        # A row's number is its sequence and what a full ring had dropped by then, which the ring tells.
        numbers = sequences(rows, source.reader.identity.proof)
        assert (np.diff(numbers) == 1).all()
        dropped = np.diff(rows[:, 0] - numbers, prepend=0, append=source.reader.dropped)
        assert (dropped >= 0).all()
        assert first.unproven == 0
        assert first.kept + first.overwritten == waiting
        collector.tick(final=True)
        assert [dead.name for dead in collector.dead] == ["agent-0"]
        assert {path.suffix for path in tmp_path.iterdir()} <= {".flight"}
        assert len(list(tmp_path.iterdir())) <= limits.MAX_FLIGHTS


def test_events_have_names_also_when_unknown() -> None:
    assert (event_name(15), event_name(999_999)) == ("AGENT_DECISION", "EVENT_999999")


@pytest.mark.parametrize("in_c", [True, False])
def test_a_ring_that_cannot_be_told_what_was_taken_is_refused_in_the_end_and_kills_nobody(
    tmp_path: Path, clock: FakeClock, collector: Collector, monkeypatch: pytest.MonkeyPatch, in_c: bool
) -> None:
    """As on a full file system where somebody punched a hole into its header."""
    if not in_c:
        monkeypatch.setattr("pipeline.telemetry.collector.reading", None)
    recorder = opened(tmp_path, clock)
    collector.tick(final=True)
    [source] = collector.sources
    assert source.reader.path is not None
    read_only = os.open(source.reader.path, os.O_RDONLY)
    os.dup2(read_only, source.reader._ring.fd)
    os.close(read_only)
    for _ in range(200):
        recorder.record(15, 1)
        collector.tick(final=True)
    assert collector.folder.refused["cannot_write"] == 1
    assert not collector.sources
    assert count_of(collector, 15) <= 200
    recorder.close()
    collector.close()
