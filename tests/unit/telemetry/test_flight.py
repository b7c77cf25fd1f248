"""The last moments of a writer: from its ring, or from what a collector kept of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import limits
from pipeline.cli.app import run
from pipeline.telemetry import layout, open_recorder
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.flight import find_flights, keep_flight, read_flight, remove_flights, timeline
from pipeline.telemetry.layout import Mode, Proof, RefusedRingError
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.ring import create_ring

CRASHING = """
import sys, time
from pathlib import Path
from pipeline.telemetry import EventID, open_recorder, register_event
recorder = open_recorder(Path(sys.argv[1]), "agent-1", 1024)
own = register_event("my own")
for number in range(100):
    recorder.record(own, 2_000_000, number)
recorder.end(EventID.AGENT_DECISION, recorder.start(EventID.AGENT_DECISION, 0xaaa), 0xaaa)
recorder.count(EventID.HANDLED, 3)
recorder.gauge(EventID.DEPTH, 7)
recorder.start(EventID.AGENT_DECISION, 0xabc)
print("ready", flush=True)
time.sleep(60)
"""


def crash(directory: Path) -> int:
    """The pid of an agent-1 that was killed within AGENT_DECISION."""
    command = [sys.executable, "-c", CRASHING, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        os.kill(writer.pid, signal.SIGKILL)
        return writer.pid


def test_a_crashed_writer_is_explained_before_and_after_its_burial(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    pid = crash(tmp_path)
    before = list(timeline(read_flight(*find_flights(tmp_path, str(pid))), 1))
    collector = Collector(tmp_path)
    collector.tick(final=True)
    assert "worker agent-1" in caplog.text
    assert "inside AGENT_DECISION for event 00000abc" in caplog.text
    [path] = find_flights(tmp_path, "agent-1")
    assert path.suffix == ".flight"
    after = list(timeline(read_flight(path), 1))
    assert "gone" in before[0]
    assert "crashed" in after[0]
    assert before[1:] == after[1:]
    assert "my own took 2.000 ms" in after[2]
    assert "HANDLED +3" in after[-4]
    assert "DEPTH = 7" in after[-3]
    assert after[-1] == "never ended: 0.000 ms  AGENT_DECISION begins  event 00000abc"
    for subject in (str(pid), "agent-1", str(path)):
        assert run(["telemetry", "flight", subject, "--set", f"telemetry.directory={tmp_path}"]) == 0
        assert "never ended" in capsys.readouterr().out
    remove_flights(tmp_path)
    assert not list(tmp_path.iterdir())
    collector.close()


def test_a_writer_that_nobody_knows_is_a_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["telemetry", "flight", "999999999", "--set", f"telemetry.directory={tmp_path}"]) == 3
    assert "no ring of such a pid" in capsys.readouterr().err
    (tmp_path / "x").write_bytes(b"no ring")
    assert run(["telemetry", "flight", str(tmp_path / "x")]) == 3
    assert "too_short" in capsys.readouterr().err


@pytest.mark.parametrize("json", [True, False])
def test_info_says_which_writer_is_in_use_and_lists_the_rings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], json: bool
) -> None:
    recorder = open_recorder(tmp_path, "agent-0", 64)
    (tmp_path / "bad.ring").write_bytes(b"no ring")
    command = ["telemetry", "info", "--set", f"telemetry.directory={tmp_path}"]
    assert run(command + ["--json"] * json) == 0
    out = capsys.readouterr().out
    for expected in ("writer", "reader", "agent-0", "drop_newest", "too_short", str(tmp_path)):
        assert expected in out
    recorder.close()


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("proof", list(Proof))
def test_what_is_kept_is_the_newest_and_whole(tmp_path: Path, mode: Mode, proof: Proof) -> None:
    ring = create_ring(tmp_path, "w-0", 1 << 13, mode=mode, proof=proof)
    assert ring.path is not None
    for number in range(10_000):
        ring.put(number + 1, number * 3, 7)
        if number == 3000:  # a reader takes some; what is kept does not depend on it
            ring.words[layout.TAIL] = 3000
    reader = RingReader.attach(ring.path)
    keep_flight(reader)
    [kept] = tmp_path.glob("*.flight")
    entries = read_flight(kept).entries
    assert len(entries) == 4095  # the writer might have been at one of them
    assert entries[-1, 0] == 10_000
    assert (entries[:, 1] == (entries[:, 0] - 1) * 3).all()
    reader.close()
    ring.close()


def test_only_the_newest_flights_are_kept(tmp_path: Path) -> None:
    for number in range(limits.MAX_FLIGHTS + 3):
        ring = create_ring(tmp_path, f"w-{number}", 64)
        assert ring.path is not None
        reader = RingReader.attach(ring.path)
        keep_flight(reader)
        os.utime(next(tmp_path.glob(f"w-{number}.*.flight")), ns=(number, number))
        reader.close()
        ring.close()
    kept = {path.name.split(".")[0] for path in tmp_path.glob("*.flight")}
    assert len(kept) == limits.MAX_FLIGHTS
    assert "w-0" not in kept


def test_a_ring_with_an_absurd_head_has_no_flight(tmp_path: Path) -> None:
    ring = create_ring(tmp_path, "w-0", 64)
    assert ring.path is not None
    ring.words[layout.HEAD] = 1 << 63
    with pytest.raises(RefusedRingError, match="absurd_head"):
        read_flight(ring.path)
    ring.close()


def test_what_is_no_file_among_the_rings_holds_nobody_up(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path, "agent-1", 64)
    os.mkfifo(tmp_path / "x.ring")
    signal.alarm(10)  # a read of a FIFO would wait for ever
    try:
        assert find_flights(tmp_path, "123") == []
        assert len(find_flights(tmp_path, "agent-1")) == 1
    finally:
        signal.alarm(0)
    recorder.close()
