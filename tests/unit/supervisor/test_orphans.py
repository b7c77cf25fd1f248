"""No worker outlives a supervisor that was killed, and no second pipeline meets the first one's workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import resolve
from pipeline.supervisor import Supervisor, is_running

PROGRAM = Path(__file__).with_name("child_program.py")
ROOT = Path(__file__).parents[3]
SUPERVISE = textwrap.dedent("""
    import sys, time
    from pipeline.config import resolve
    from pipeline.supervisor import Supervisor
    program, folder, gateway = sys.argv[1:]
    def command(worker, file):
        behaviour = gateway if worker.stage == "gateway" else "serve"
        return [sys.executable, program, worker.name, behaviour, folder]
    supervisor = Supervisor(resolve({"data_dir": folder + "/data"}), report=print, command=command)
    supervisor.start()
    supervisor.wait_ready()
    print("pids", *[process.pid for process in supervisor.processes()], flush=True)
    time.sleep(600)
""")


def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def supervise_and_kill(folder: Path, gateway: str = "serve") -> list[int]:
    """A supervisor in a process of its own, killed when everything was ready; the pids of its workers."""
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(PROGRAM), str(folder), gateway],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()[1:]]
        process.kill()
    assert len(pids) == 6
    return pids


def test_workers_of_a_killed_supervisor_drain_and_leave(tmp_path: Path) -> None:
    pids = supervise_and_kill(tmp_path)
    until(lambda: all(gone(pid) for pid in pids))
    assert len((tmp_path / "left").read_text().split()) == 6


def test_an_orphan_that_cannot_drain_leaves_at_its_deadline(tmp_path: Path) -> None:
    pids = supervise_and_kill(tmp_path, gateway="deaf:0.5")
    until(lambda: all(gone(pid) for pid in pids))
    assert len((tmp_path / "left").read_text().split()) == 5


@pytest.mark.usefixtures("pythonpath")
def test_a_new_pipeline_waits_for_the_orphans_of_the_one_before(tmp_path: Path) -> None:
    pids = supervise_and_kill(tmp_path, gateway="deaf:1")
    data_dir = str(tmp_path / "data")
    assert is_running(data_dir)
    lines: list[str] = []

    def command(worker: object, file: Path) -> list[str]:
        return [sys.executable, str(PROGRAM), "successor", "serve", str(tmp_path)]

    with Supervisor(resolve({"data_dir": data_dir}), report=lines.append, command=command) as supervisor:
        supervisor.start()
        until(lambda: all(gone(pid) for pid in pids))  # the lock falls a moment before the process is gone
    assert lines == [f"data_dir {data_dir}: waiting for the workers of a pipeline that died to leave"]


@pytest.fixture
def pythonpath(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_a_worker_whose_supervisor_died_before_it_could_ask_leaves_at_once(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RINGLINE_PARENT_PID": "1"}
    command = [sys.executable, str(PROGRAM), "late", "serve", str(tmp_path)]
    assert subprocess.run(command, env=environment, timeout=20, check=False).returncode == 0
    assert (tmp_path / "left").read_text() == "late\n"


def test_a_program_that_nobody_supervises_serves_until_it_is_told_to_leave(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(PROGRAM), "alone", "serve", str(tmp_path)]
    with subprocess.Popen(command, env=environment) as process:
        until((tmp_path / "alone.pids").exists)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
