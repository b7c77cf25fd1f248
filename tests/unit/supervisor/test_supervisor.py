"""The supervisor with real processes: a small program stands in for the workers."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pipeline.config import Config, load, resolve
from pipeline.errors import EXIT_MISSING, EXIT_USAGE, MissingError
from pipeline.process import StopFlag
from pipeline.supervisor import (
    RefusedError,
    Supervisor,
    SupervisorError,
    Vigil,
    Worker,
    is_running,
    read_status,
)

PROGRAM = Path(__file__).with_name("child_program.py")
ROOT = Path(__file__).parents[3]
NAMES = ["collector", "feed", "audit-0", "exec-0", "agent-0", "gateway-0"]


class House:
    """A data folder, the lines that were reported, and what each worker is told to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.behaviours: dict[str, str] = {}

    def config(self, **supervisor: int) -> Config:
        settings = {"drain_s": 20, "restarts": 3, "restart_window_s": 600} | supervisor
        return resolve({"data_dir": str(self.folder / "data"), "supervisor": settings})

    def command(self, worker: Worker, config_file: Path) -> Sequence[str]:
        behaviour = self.behaviours.get(worker.name, "serve")
        return [sys.executable, str(PROGRAM), worker.name, behaviour, str(self.folder)]

    @contextlib.contextmanager
    def running(self, config: Config | None = None) -> Iterator[Supervisor]:
        with Supervisor(
            config or self.config(), report=self.lines.append, command=self.command
        ) as supervisor:
            supervisor.start()
            supervisor.wait_ready()
            yield supervisor

    def pids(self, name: str) -> list[int]:
        diary = self.folder / f"{name}.pids"
        return [int(line) for line in diary.read_text().split()] if diary.exists() else []

    def left(self) -> list[str]:
        diary = self.folder / "left"
        return diary.read_text().split() if diary.exists() else []


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return House(tmp_path)


def until(condition: Callable[[], bool], supervisor: Supervisor | None = None, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        if supervisor is not None:
            supervisor.poll()
        time.sleep(0.005)


def gone(pid: int) -> bool:
    """Dead, or a zombie that only its new parent has not collected yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def pid_of(supervisor: Supervisor, name: str) -> int:
    return next(process.pid for process in supervisor.processes() if process.name == name)


# ---- start ----------------------------------------------------------------------------------------------


def test_every_worker_of_the_configuration_runs_in_order_of_start(house: House) -> None:
    with house.running() as supervisor:
        assert [process.name for process in supervisor.processes()] == NAMES
        assert supervisor.ready
        started = [house.pids(name)[0] for name in NAMES]
        assert [process.pid for process in supervisor.processes()] == started


def test_a_stage_starts_only_when_the_one_before_is_ready(house: House) -> None:
    house.behaviours["exec-0"] = "refuse:3:nothing here"
    supervisor = Supervisor(house.config(), report=house.lines.append, command=house.command)
    with supervisor:
        supervisor.start()
        with pytest.raises(SupervisorError):
            supervisor.wait_ready()
    assert house.pids("audit-0")
    assert not house.pids("agent-0")
    assert not house.pids("gateway-0")


def test_several_workers_of_a_stage_have_names_of_their_own(house: House) -> None:
    config = resolve({"data_dir": str(house.folder / "data"), "agent": {"workers": 2}})
    with house.running(config) as supervisor:
        assert [p.name for p in supervisor.processes() if p.stage == "agent"] == ["agent-0", "agent-1"]


def test_workers_read_the_configuration_in_force_from_a_file_for_our_eyes_only(house: House) -> None:
    config = house.config()
    with house.running(config):
        file = house.folder / "data" / "run" / "config.json"
        assert load(file) == config
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_configuration_key_in_the_environment_is_not_passed_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGLINE_JOURNAL_RETENTION_S", "5")
    house.behaviours["audit-0"] = "environment:RINGLINE_JOURNAL_RETENTION_S"
    with house.running():
        until(lambda: "audit-0: not set" in house.lines)


def test_a_worker_that_misses_something_is_not_started_twice_and_is_quoted(house: House) -> None:
    house.behaviours["audit-0"] = "refuse:3:port 8005 is in use"
    with Supervisor(house.config(), report=house.lines.append, command=house.command) as supervisor:
        supervisor.start()
        with pytest.raises(SupervisorError) as caught:
            supervisor.wait_ready()
    assert str(caught.value) == "audit-0 cannot start: port 8005 is in use"
    assert caught.value.exit_code == EXIT_MISSING
    assert len(house.pids("audit-0")) == 1


def test_a_worker_that_refuses_its_configuration_ends_the_start_as_wrong_usage(house: House) -> None:
    house.behaviours["audit-0"] = "refuse:2:first fault\nsecond fault"
    with Supervisor(house.config(), report=house.lines.append, command=house.command) as supervisor:
        supervisor.start()
        with pytest.raises(RefusedError) as caught:
            supervisor.wait_ready()
    assert str(caught.value) == "audit-0 cannot start: first fault\naudit-0 cannot start: second fault"
    assert caught.value.exit_code == EXIT_USAGE


def test_a_program_that_does_not_exist_is_one_clear_line(house: House) -> None:
    supervisor = Supervisor(
        house.config(), report=house.lines.append, command=lambda worker, file: ["/no/such/program"]
    )
    with supervisor, pytest.raises(SupervisorError, match=r"collector cannot be started: .*no/such/program"):
        supervisor.start()


def test_not_ready_in_time_names_who_is_not(house: House) -> None:
    with Supervisor(house.config(), report=house.lines.append, command=house.command) as supervisor:
        supervisor.start()
        with pytest.raises(SupervisorError, match=r"not ready within 0 s: .*gateway-0"):
            supervisor.wait_ready(timeout_s=0)


def test_started_from_a_thread_that_ends_the_workers_live_on(house: House) -> None:
    """The parent-death signal comes when the thread that forked ends; ours must not be the caller's."""
    with Supervisor(house.config(), report=house.lines.append, command=house.command) as supervisor:

        def start() -> None:
            supervisor.start()
            supervisor.wait_ready()

        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
        pid = pid_of(supervisor, "agent-0")
        os.kill(pid, signal.SIGKILL)  # a turn of real time: whatever the kernel sent has arrived by then
        until(lambda: len(house.pids("agent-0")) == 2, supervisor)
        assert [process.name for process in supervisor.processes()] == NAMES
        assert supervisor.restarts == 1


# ---- one a folder ---------------------------------------------------------------------------------------


def test_a_second_pipeline_in_the_same_folder_is_refused_with_the_pid_of_the_first(house: House) -> None:
    with house.running():
        second = Supervisor(house.config(), report=house.lines.append, command=house.command)
        with pytest.raises(MissingError, match=rf"in use by the pipeline with pid {os.getpid()}"), second:
            second.start()


def test_a_folder_that_cannot_be_written_is_one_clear_line(house: House) -> None:
    (house.folder / "data").write_text("a file where the folder should be")
    supervisor = Supervisor(house.config(), report=house.lines.append, command=house.command)
    with pytest.raises(MissingError) as caught, supervisor:
        supervisor.start()
    data = house.folder / "data"
    assert str(caught.value) == f"data_dir {data}: {data}/run: Not a directory"


def test_the_status_tells_pids_and_addresses_while_it_runs_and_nothing_after(house: House) -> None:
    data_dir = house.config().data_dir
    assert read_status(data_dir) is None
    with house.running() as supervisor:
        status = read_status(data_dir)
        assert status is not None
        assert status.pid == os.getpid()
        assert {p.name: p.pid for p in status.processes} == {p.name: p.pid for p in supervisor.processes()}
        assert all(process.ready for process in status.processes)
        assert status.endpoints["gateway-0"] == "http://127.0.0.1:8001"
        assert is_running(data_dir)
    assert not is_running(data_dir)
    assert read_status(data_dir) is None


# ---- deaths ---------------------------------------------------------------------------------------------


def test_a_killed_worker_is_started_again_and_the_others_are_left_alone(house: House) -> None:
    with house.running() as supervisor:
        before = {process.name: process.pid for process in supervisor.processes()}
        os.kill(before["exec-0"], signal.SIGKILL)
        until(lambda: len(house.pids("exec-0")) == 2, supervisor)
        until(lambda: supervisor.ready, supervisor)
        after = {process.name: process.pid for process in supervisor.processes()}
        assert after.pop("exec-0") != before.pop("exec-0")
        assert after == before
    assert "exec-0 killed by SIGKILL; restart 1 of 3 within 600 s in 50 ms" in house.lines


def test_a_worker_that_always_crashes_spends_its_budget_and_ends_it_all(house: House) -> None:
    house.behaviours["agent-0"] = "crash"
    with Supervisor(house.config(restarts=2), report=house.lines.append, command=house.command) as supervisor:
        supervisor.start()
        with pytest.raises(SupervisorError) as caught:
            supervisor.wait_ready()
        assert str(caught.value) == (
            "agent-0 exited with 1, and its budget of 2 restarts within 600 s is spent; everything stops"
        )
        with pytest.raises(SupervisorError):
            supervisor.poll()
    assert len(house.pids("agent-0")) == 3
    assert house.left() == ["exec-0", "audit-0", "feed", "collector"]


def test_a_restarted_worker_may_miss_something_for_a_moment(house: House) -> None:
    house.behaviours["exec-0"] = "refuse-later:2"
    with house.running() as supervisor:
        os.kill(pid_of(supervisor, "exec-0"), signal.SIGKILL)
        until(lambda: len(house.pids("exec-0")) == 3 and supervisor.ready, supervisor)
    assert any("exec-0 cannot start: port 1 is in use; restart 2 of 3" in line for line in house.lines)


def test_a_worker_that_leaves_by_itself_is_a_death_too(house: House) -> None:
    house.behaviours["gateway-0"] = "crash-when-ready"
    with Supervisor(house.config(restarts=1), report=house.lines.append, command=house.command) as supervisor:
        supervisor.start()
        with pytest.raises(SupervisorError, match="gateway-0 exited with 1, and its budget of 1 restarts"):
            until(lambda: False, supervisor)


# ---- lines ----------------------------------------------------------------------------------------------


def test_what_a_worker_says_is_passed_on_with_its_name(house: House) -> None:
    house.behaviours["agent-0"] = "talk"
    with house.running():
        until(lambda: "agent-0: and good night" in house.lines)
        assert "agent-0: good morning" in house.lines


def test_the_last_words_of_a_crashing_worker_come_before_the_news_of_its_death(house: House) -> None:
    house.behaviours["agent-0"] = "crash"
    with Supervisor(house.config(restarts=1), report=house.lines.append, command=house.command) as supervisor:
        supervisor.start()
        with pytest.raises(SupervisorError):
            supervisor.wait_ready()
    words = [line.split(" ")[0] for line in house.lines if line.startswith("agent-0")]
    assert words == ["agent-0:", "agent-0", "agent-0:"]


# ---- the end --------------------------------------------------------------------------------------------


def test_workers_leave_upstream_first(house: House) -> None:
    with house.running() as supervisor:
        pids = [process.pid for process in supervisor.processes()]
    assert house.left() == NAMES[::-1]
    assert all(gone(pid) for pid in pids)


def test_stop_twice_is_stop_once(house: House) -> None:
    with house.running() as supervisor:
        supervisor.stop()
        assert supervisor.processes() == []
        supervisor.poll()
    assert house.left() == NAMES[::-1]


def test_waiting_for_a_pipeline_that_was_stopped_is_refused(house: House) -> None:
    with house.running() as supervisor:
        supervisor.stop()
        with pytest.raises(SupervisorError, match="stopped before it was ready"):
            supervisor.wait_ready()


def test_a_worker_that_does_not_drain_is_killed_after_drain_s(house: House) -> None:
    house.behaviours["agent-0"] = "deaf:60"
    with house.running(house.config(drain_s=1)) as supervisor:
        pid = pid_of(supervisor, "agent-0")
    assert gone(pid)
    assert "agent-0 has not drained within 1 s; killing it" in house.lines
    assert house.left() == ["gateway-0", "exec-0", "audit-0", "feed", "collector"]


def test_a_stop_in_the_middle_of_a_start_leaves_nobody(house: House) -> None:
    with Supervisor(house.config(), report=house.lines.append, command=house.command) as supervisor:
        supervisor.start()
        pids = [process.pid for process in supervisor.processes()]
    assert pids
    assert all(gone(pid) for pid in pids)


# ---- scale ----------------------------------------------------------------------------------------------


def listed(house: House) -> dict[str, list[int]]:
    found: dict[str, list[int]] = json.loads((house.folder / "data" / "run" / "members.json").read_bytes())
    return found


def names(supervisor: Supervisor, stage: str) -> list[str]:
    return [process.name for process in supervisor.processes() if process.stage == stage]


def scalable(house: House, drain_s: int = 20) -> Config:
    return resolve(
        {
            "data_dir": str(house.folder / "data"),
            "exec": {"members": "listed", "max_replicas": 4},
            "supervisor": {"drain_s": drain_s, "restarts": 3, "restart_window_s": 600},
        }
    )


def test_workers_are_added_while_the_others_run_and_the_highest_leave(house: House) -> None:
    with house.running(scalable(house)) as supervisor:
        first = pid_of(supervisor, "exec-0")
        assert listed(house) == {"agent": [0], "audit": [0], "exec": [0]}
        supervisor.scale("exec", 3)
        supervisor.poll()
        assert listed(house)["exec"] == [0, 1, 2]
        assert supervisor.staff("exec").workers == 3
        until(lambda: supervisor.staff("exec").ready == 3, supervisor)
        assert names(supervisor, "exec") == ["exec-0", "exec-1", "exec-2"]
        status = read_status(str(house.folder / "data"))
        assert status is not None
        assert status.endpoints["exec-2"] == "tcp://127.0.0.1:8024"
        supervisor.scale("exec", 1)
        supervisor.poll()
        assert listed(house)["exec"] == [0], "nobody connects to one that leaves"
        until(lambda: names(supervisor, "exec") == ["exec-0"], supervisor)
        assert sorted(house.left()) == ["exec-1", "exec-2"], "they left in order, and nobody else did"
        assert pid_of(supervisor, "exec-0") == first
        until(lambda: not supervisor.staff("exec").leaving, supervisor)
        assert supervisor.staff("exec") == (1, 1, (), 0, (), "")


def test_start_times_are_told_once(house: House) -> None:
    with house.running(scalable(house)) as supervisor:
        assert len(supervisor.staff("exec").started_ms) == 1
        assert supervisor.staff("exec").started_ms == ()
        supervisor.scale("exec", 2)
        until(lambda: supervisor.ready and len(names(supervisor, "exec")) == 2, supervisor)
        (took_ms,) = supervisor.staff("exec").started_ms
        assert 0 < took_ms < 20_000


def test_one_that_is_wanted_again_waits_for_the_place_to_be_free(house: House) -> None:
    house.behaviours["exec-1"] = "deaf:60"
    with house.running(scalable(house, drain_s=1)) as supervisor:
        supervisor.scale("exec", 2)
        until(lambda: supervisor.staff("exec").ready == 2, supervisor)
        before = pid_of(supervisor, "exec-1")
        supervisor.scale("exec", 1)
        supervisor.poll()
        supervisor.scale("exec", 2)
        supervisor.poll()
        assert pid_of(supervisor, "exec-1") == before, "it has the port"
        until(lambda: names(supervisor, "exec") == ["exec-0", "exec-1"] and gone(before), supervisor)
        until(lambda: supervisor.staff("exec").ready == 2, supervisor)
        assert "exec-1 has not drained within 1 s; killing it" in house.lines


def test_one_that_cannot_start_stops_nothing_and_is_a_fault_of_its_stage(house: House) -> None:
    house.behaviours["exec-2"] = "refuse:3:port 8024 is in use"
    with house.running(scalable(house)) as supervisor:
        supervisor.scale("exec", 4)
        until(lambda: supervisor.staff("exec").fault != "", supervisor)
        staff = supervisor.staff("exec")
        assert (staff.workers, staff.fault) == (2, "exec-2 cannot start: port 8024 is in use")
        until(lambda: names(supervisor, "exec") == ["exec-0", "exec-1"], supervisor)
        until(lambda: listed(house)["exec"] == [0, 1] and supervisor.ready, supervisor)


def test_one_that_never_gets_ready_is_given_up_when_its_restarts_are_spent(house: House) -> None:
    house.behaviours["exec-1"] = "crash"
    with house.running(scalable(house)) as supervisor:
        supervisor.scale("exec", 2)
        until(lambda: supervisor.staff("exec").fault != "", supervisor)
        assert supervisor.staff("exec").fault == "exec-1 exited with 1, 4 times in a row"
        assert len(house.pids("exec-1")) == 4
        assert names(supervisor, "exec") == ["exec-0"]


def test_one_that_was_added_and_dies_is_started_again_as_any_other(house: House) -> None:
    with house.running(scalable(house)) as supervisor:
        supervisor.scale("exec", 2)
        until(lambda: supervisor.staff("exec").ready == 2, supervisor)
        os.kill(pid_of(supervisor, "exec-1"), signal.SIGKILL)
        until(lambda: len(house.pids("exec-1")) == 2, supervisor)
        until(lambda: supervisor.ready, supervisor)
        assert supervisor.restarts == 1


def test_one_that_leaves_when_everything_stops_is_waited_for(house: House) -> None:
    with house.running(scalable(house)) as supervisor:
        supervisor.scale("exec", 2)
        until(lambda: supervisor.staff("exec").ready == 2, supervisor)
        supervisor.scale("exec", 1)
        supervisor.poll()
    assert sorted(house.left()) == sorted([*NAMES, "exec-1"])


# ---- the sleep between two looks ------------------------------------------------------------------------


def test_the_end_of_a_worker_wakes_who_keeps_watch(house: House) -> None:
    stop = StopFlag()
    with house.running() as supervisor, Vigil(supervisor) as vigil:
        pid = pid_of(supervisor, "exec-0")
        assert not vigil.wait(stop, 0.01)
        killer = threading.Timer(0.2, os.kill, (pid, signal.SIGKILL))
        killer.start()
        begun = time.monotonic()
        assert not vigil.wait(stop, 60)
        assert time.monotonic() - begun < 30
        killer.join()
        supervisor.poll()
        assert not supervisor.ready
        until(lambda: supervisor.ready, supervisor)
        assert supervisor.restarts == 1
        assert not vigil.wait(stop, 0.01)  # it follows the new one, and has forgotten the old
    stop.close()


def test_who_keeps_watch_hears_of_the_stop_at_once(house: House) -> None:
    stop = StopFlag()
    with house.running() as supervisor, Vigil(supervisor) as vigil:
        threading.Timer(0.1, stop.set).start()
        assert vigil.wait(stop, 60)
    stop.close()


def test_without_the_kernels_word_the_looks_are_frequent(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_pid: int) -> int:
        raise OSError(errno.ENOSYS, "not here")

    monkeypatch.setattr(os, "pidfd_open", refused)
    stop = StopFlag()
    with house.running() as supervisor, Vigil(supervisor) as vigil:
        begun = time.monotonic()
        assert not vigil.wait(stop, 60)
        assert time.monotonic() - begun < 30
    stop.close()
