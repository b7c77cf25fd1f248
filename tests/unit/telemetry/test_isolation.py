"""Writer and collector apart from each other as containers are, on file systems that are full or missing.

These need root and `unshare`; the kernel says whether it lets us.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.telemetry.collector import Collector
from pipeline.telemetry.discovery import CollectorLock


def _allowed(*flags: str) -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", *flags, "true"], capture_output=True, check=False).returncode == 0


own_pids = pytest.mark.skipif(
    not _allowed("--pid", "--fork", "--mount-proc"), reason="unshare --pid is not allowed here (needs root)"
)
own_mounts = pytest.mark.skipif(
    not _allowed("--mount"), reason="unshare --mount is not allowed here (needs root)"
)

WRITER = """
import os, sys, time
from pathlib import Path
from pipeline.telemetry import EventID, open_recorder
recorder = open_recorder(Path(sys.argv[1]), "agent-0", 1024)
recorder.start(EventID.AGENT_DECISION, 7)
for number in range(100):
    recorder.record(EventID.AGENT_CONSUME, 1000 + number)
print(os.getpid(), flush=True)
sys.stdin.read()
recorder.close()
"""

COLLECTOR = """
import sys
from pathlib import Path
from pipeline.telemetry.collector import Collector
collector = Collector(Path(sys.argv[1]))
print("ready", flush=True)
for line in sys.stdin:
    collector.tick(final=True)
    [series] = collector.aggregate.latencies.series.values() or [None]
    count = collector.aggregate.latencies.figures([series], None).count
    print(count, len(collector.sources), collector.deaths, flush=True)
"""


def isolated(code: str, directory: Path) -> "subprocess.Popen[str]":
    """Its process is number 1 of a pid namespace of its own; killed with unshare itself."""
    return subprocess.Popen(
        [
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            sys.executable,
            "-c",
            code,
            str(directory),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ask(process: "subprocess.Popen[str]") -> str:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return line_of(process)


@own_pids
def test_a_writer_in_another_pid_namespace_lives_dies_and_is_explained(tmp_path: Path) -> None:
    """Its pid there is 1, which lives here too, and always will."""
    with isolated(WRITER, tmp_path) as writer:
        assert line_of(writer) == "1"
        collector = Collector(tmp_path)
        collector.tick(final=True)
        assert [source.reader.identity.pid for source in collector.sources] == [1]
        assert collector.deaths == 0
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    deadline = time.monotonic() + 10
    while not collector.deaths:
        collector.tick(final=True)
        assert time.monotonic() < deadline
    [dead] = collector.dead
    assert (dead.name, dead.pid, dead.inside) == ("agent-0", 1, ("AGENT_DECISION for event 00000007",))
    assert collector.aggregate.latencies.figures([0], None).count == 100
    assert not list(tmp_path.glob("*.ring"))
    collector.close()


@own_pids
def test_both_in_namespaces_of_their_own(tmp_path: Path) -> None:
    with isolated(WRITER, tmp_path) as writer, isolated(COLLECTOR, tmp_path) as collector:
        assert (line_of(writer), line_of(collector)) == ("1", "ready")
        assert ask(collector) == "100 1 0"
        assert writer.stdin is not None
        writer.stdin.close()
        writer.wait(10)
        assert ask(collector) == "100 0 0"
        assert collector.stdin is not None
        collector.stdin.close()


BESIDE_A_FILE_SYSTEM = """
import logging, sys, threading
from pathlib import Path
from pipeline.telemetry import EventID, MetricsCollector, measure, open_recorder
logging.basicConfig(format="%(message)s", stream=sys.stdout)
recorder = open_recorder(Path(sys.argv[1]), "agent-0", 1 << 17)
for number in range(1000):
    recorder.record(EventID.AGENT_CONSUME, number)
recorder.heartbeat()
recorder.close()
MetricsCollector().publish(Path(sys.argv[1]), "app-0", 1 << 17)
def work():
    for _ in range(1000):
        with measure(EventID.ORDER_PLACEMENT):
            pass
work()
for _ in range(20):  # said once, not by every thread
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print("on" if recorder.on else "off")
"""


@own_mounts
@pytest.mark.parametrize(
    ("mount", "why"),
    [
        ("mount -t tmpfs -o size=1m none {0}", "No space left"),
        (
            "mount -t tmpfs -o size=64m none {0} && dd if=/dev/zero of={0}/x bs=1M count=63 2>/dev/null",
            "No space left",
        ),
        ("mount -t tmpfs -o ro none {0}", "Read-only"),
        ("mount -t tmpfs -o nr_inodes=2 none {0}", "No space left"),
        ("mount -t tmpfs none {0} && touch {0}/rings", "Not a directory"),
    ],
    ids=["too-small", "full", "read-only", "no-inodes", "in-the-way"],
)
def test_without_room_for_a_ring_it_is_one_warning_and_the_program_lives(
    tmp_path: Path, mount: str, why: str
) -> None:
    script = f'{mount.format(tmp_path)} && exec "{sys.executable}" -c "$0" {tmp_path}/rings/here'
    command = ["unshare", "--mount", "sh", "-c", script, BESIDE_A_FILE_SYSTEM]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    one, other, state = ran.stdout.splitlines()
    assert "telemetry of agent-0 is off" in one
    assert "telemetry is off in threads that get no ring" in other
    assert why in one
    assert why in other
    assert state == "off"


CHILDREN = """
import multiprocessing, sys
from pathlib import Path
from pipeline.telemetry import EventID, MetricsCollector, measure

def work(directory, number):
    MetricsCollector().publish(Path(directory), f"web-{number}", 1024)
    for _ in range(100):
        with measure(EventID.ORDER_FILL):
            pass

if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        children = [context.Process(target=work, args=(sys.argv[1], number)) for number in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join()
            assert child.exitcode == 0
"""


def test_children_of_multiprocessing_that_end_well_are_not_called_dead(tmp_path: Path) -> None:
    collector, directory = Collector(tmp_path / "rings"), tmp_path / "rings"
    directory.mkdir()
    lock = CollectorLock(directory)  # somebody collects here: rings outlive their writers
    program = tmp_path / "children.py"
    program.write_text(CHILDREN)
    subprocess.run([sys.executable, program, directory], check=True)
    collector.tick(final=True)
    lock.release()
    found = collector.aggregate.latencies
    rows = [found.totals.row(series).sum() for series in found.series.values()]
    assert sum(rows) == 600
    assert not collector.dead
    assert not directory.exists()  # nothing was left in it
    collector.close()
