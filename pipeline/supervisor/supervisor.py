"""The supervisor: a small machine that `poll` turns, so that any thread or loop can drive it.

    start ──▶ stage by stage, downstream first; the next when all of one are ready
    poll  ──▶ a dead worker is restarted after a pause, within its budget
    scale ──▶ workers are added, or the highest ordinals drain and leave, while the others run
    stop  ──▶ stage by stage, upstream first: SIGTERM, `drain_s`, SIGKILL

No worker outlives it: each asks the kernel for SIGTERM at its parent's death (`pipeline.process`).
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from pipeline import limits
from pipeline.clock import NS_PER_S, Clock, SystemClock
from pipeline.config import Config
from pipeline.errors import EXIT_MISSING, EXIT_USAGE, MissingError
from pipeline.supervisor.budget import RestartBudget
from pipeline.supervisor.child import Child, describe_end, wait_for_a_word
from pipeline.supervisor.errors import RefusedError, SupervisorError
from pipeline.supervisor.lock import DataLock
from pipeline.supervisor.roster import Worker, roster
from pipeline.supervisor.slot import Slot
from pipeline.supervisor.staff import Staffing, StageStaff, in_order, listed
from pipeline.supervisor.status import run_folder, status_of, write_atomically, write_status
from pipeline.transport.listed_members import encode_members, members_file

_LOOK_EVERY_S = 0.05


class Process(NamedTuple):
    """A worker that runs."""

    name: str
    stage: str
    ordinal: int
    pid: int


def worker_command(worker: Worker, config_file: Path) -> Sequence[str]:
    """A fresh interpreter, as with `spawn`: nothing of the supervisor's memory goes along."""
    roles = {"collector": ["collector"], "feed": ["feed", "serve"]}
    role = roles.get(worker.stage) or ["worker", worker.stage, "--ordinal", str(worker.ordinal)]
    return [sys.executable, "-m", "pipeline", *role, "--config", str(config_file)]


class Supervisor:
    """Runs every worker of `config` in its data folder.

    `report` gets one line at a time, from any thread, never two at once. Methods may be called from
    different threads. A context manager: leaving it stops everything.
    """

    def __init__(
        self,
        config: Config,
        *,
        report: Callable[[str], None],
        command: Callable[[Worker, Path], Sequence[str]] = worker_command,
        clock: Clock | None = None,
    ) -> None:
        self._config = config
        self._report_line = report
        self._command = command
        self._clock: Clock = clock or SystemClock()
        self._slots = [self._place(worker) for worker in roster(config)]
        self._staffing = Staffing()
        self._listed = b""
        """What the list of members says by now."""
        self._started_us = 0
        self._lock: DataLock | None = None
        self._failure: SupervisorError | None = None
        self._turn = threading.RLock()
        self._say = threading.Lock()
        # The kernel ties a child's parent-death signal to the thread that forked it: this one stays.
        self._forker: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Locks the data folder and starts the first stage; `wait_ready` or `poll` start the others.

        Raises MissingError when the folder cannot be written or a pipeline already runs there.
        """
        with self._turn:
            if self._lock is not None:
                return
            wait_s = self._config.supervisor.drain_s + 2 * limits.LEAVE_GRACE_S
            folder = run_folder(self._config.data_dir)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._lock = DataLock.take(folder, wait_s=wait_s, report=self._report)
                write_atomically(folder / "config.json", msgspec.json.encode(self._config))
            except OSError as error:
                self.stop()
                where = error.filename or self._config.data_dir
                raise MissingError(
                    f"data_dir {self._config.data_dir}: {where}: {error.strerror or error}"
                ) from None
            self._list_members()
            self._started_us = self._clock.wall_us()
            self._forker = ThreadPoolExecutor(1, thread_name_prefix="forker")
            self._turn_once()

    def wait_ready(self, timeout_s: float = limits.START_S) -> None:
        """Returns when every worker is ready.

        Raises SupervisorError with a worker's own words when it cannot start, or with the names of those
        that are not ready after `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self.poll()
            if self._lock is None:
                raise SupervisorError("the pipeline was stopped before it was ready")
            waiting = [slot for slot in self._slots if not slot.ready]
            if not waiting:
                return
            if time.monotonic() > deadline:
                names = ", ".join(slot.worker.name for slot in waiting)
                raise SupervisorError(f"not ready within {timeout_s:g} s: {names}")
            wait_for_a_word([slot.child for slot in waiting if slot.child], _LOOK_EVERY_S)

    def poll(self) -> None:
        """Looks after every worker without waiting for any. Call it a few times a second.

        Raises SupervisorError, once and for all, when a worker cannot be started or kept running.
        """
        with self._turn:
            if self._failure is not None:
                raise self._failure
            if self._lock is None:
                return
            try:
                self._turn_once()
            except SupervisorError as failure:
                self._failure = failure
                raise

    def scale(self, stage: str, workers: int) -> None:
        """Has `workers` workers of agent or exec run from now on; the next `poll` sees to it. Those that
        leave, always the highest ordinals, drain first. The configuration must find members by `listed`."""
        with self._turn:
            self._staffing.want(stage, workers)

    def staff(self, stage: str) -> StageStaff:
        """How many workers of `stage` there are, are wanted, start and leave."""
        with self._turn:
            return self._staffing.look(stage, self._slots, self._clock.monotonic_ns())

    def stop(self) -> None:
        """Has every worker drain and leave, upstream first. Idempotent; never leaves one running."""
        with self._turn:
            for _stage, slots in groupby(reversed(self._slots), key=lambda slot: slot.worker.stage):
                self._stop_stage([slot for slot in slots if slot.child is not None])
            if self._lock is not None:
                (run_folder(self._config.data_dir) / "status.json").unlink(missing_ok=True)
                self._lock.release()
                self._lock = None
            if self._forker is not None:
                self._forker.shutdown()
                self._forker = None

    def processes(self) -> list[Process]:
        """The workers that run now, in order of start."""
        with self._turn:
            return [
                Process(slot.worker.name, slot.worker.stage, slot.worker.ordinal, slot.child.pid)
                for slot in self._slots
                if slot.child is not None and slot.child.exit_code() is None
            ]

    @property
    def ready(self) -> bool:
        """Whether every worker is, right now."""
        with self._turn:
            return all(slot.ready for slot in self._slots)

    @property
    def restarts(self) -> int:
        """How often a worker was restarted since the start."""
        return sum(slot.restarts for slot in self._slots)

    # ---- one turn ---------------------------------------------------------------------------------------

    def _turn_once(self) -> None:
        changed = [self._look_after(slot) for slot in list(self._slots)]
        changed.append(self._see_to_staff())
        changed.append(self._start_next_stage())
        if any(changed):
            self._write_status()

    def _look_after(self, slot: Slot) -> bool:
        """True when something changed."""
        if slot.leaving:
            return self._watch_leave(slot)
        child, now_ns = slot.child, self._clock.monotonic_ns()
        if child is None:
            if slot.resume_ns is None or now_ns < slot.resume_ns:
                return False
            slot.restarts += 1
            self._spawn(slot)
            return True
        became_ready = child.listen()
        slot.ever_ready |= became_ready
        if became_ready:
            self._staffing.became_ready(slot, now_ns)
        code = child.exit_code()
        if code is not None:
            self._bury(slot, child, code)
            return True
        if not child.ready and now_ns - child.started_ns > limits.START_S * NS_PER_S:
            self._report(f"{slot.worker.name} was not ready within {limits.START_S} s; killing it")
            child.send(signal.SIGKILL)
        return became_ready

    def _start_next_stage(self) -> bool:
        for _stage, slots in groupby(self._slots, key=lambda slot: slot.worker.stage):
            group = list(slots)
            fresh = [slot for slot in group if slot.child is None and slot.resume_ns is None]
            for slot in fresh:
                self._spawn(slot)
            if fresh:
                return True
            if not all(slot.ever_ready for slot in group):
                return False
        return False

    def _see_to_staff(self) -> bool:
        """Starts and dismisses what `scale` asked for. True when something changed."""
        leaving, missing = self._staffing.surplus(self._slots), self._staffing.missing(self._slots)
        for slot in leaving:
            slot.leave_by_ns = self._clock.monotonic_ns() + self._config.supervisor.drain_s * NS_PER_S
        added = [self._place(worker, added=True) for worker in missing]
        self._slots = in_order((*self._slots, *added))
        self._list_members()  # before they go, so that nobody connects to them again
        for slot in leaving:
            if slot.child is None:
                self._slots.remove(slot)
            else:
                slot.child.send(signal.SIGTERM)
        for slot in added:
            try:
                self._spawn(slot)
            except SupervisorError as error:
                self._give_up(slot, str(error))
        return bool(leaving or added)

    def _watch_leave(self, slot: Slot) -> bool:
        child = slot.child
        assert child is not None
        assert slot.leave_by_ns is not None
        child.listen()
        code = child.exit_code()
        if code is None:
            if self._clock.monotonic_ns() > slot.leave_by_ns:
                drain_s = self._config.supervisor.drain_s
                self._report(f"{slot.worker.name} has not drained within {drain_s} s; killing it")
                child.send(signal.SIGKILL)
            return False
        if code not in (0, -signal.SIGTERM):
            self._report(f"{slot.worker.name} {describe_end(code)} while leaving")
        child.close()
        self._slots.remove(slot)
        return True

    def _give_up(self, slot: Slot, why: str) -> None:
        """One that was added does not start: the pipeline goes on with those it has."""
        self._slots.remove(slot)
        self._staffing.give_up(slot.worker, why)
        self._report(f"{why}; {slot.worker.stage} goes on with {slot.worker.ordinal} workers")

    def _place(self, worker: Worker, *, added: bool = False) -> Slot:
        settings = self._config.supervisor
        return Slot(worker, RestartBudget(settings.restarts, settings.restart_window_s), added=added)

    def _spawn(self, slot: Slot) -> None:
        assert self._forker is not None
        assert self._lock is not None
        worker, lock_fd = slot.worker, self._lock.fd
        command = self._command(worker, run_folder(self._config.data_dir) / "config.json")

        def fork() -> Child:
            return Child(
                command,
                now_ns=self._clock.monotonic_ns(),
                keep_fds=(lock_fd,),
                on_line=lambda line: self._report(f"{worker.name}: {line}"),
            )

        try:
            slot.child = self._forker.submit(fork).result()
        except OSError as error:
            raise SupervisorError(f"{worker.name} cannot be started: {error}") from None
        slot.resume_ns = None

    def _bury(self, slot: Slot, child: Child, code: int) -> None:
        """Decides on a worker that has ended: start it again later, or give up."""
        slot.child = None
        child.close()
        name = slot.worker.name
        if slot.added and not slot.ever_ready and code in (EXIT_USAGE, EXIT_MISSING):
            self._give_up(slot, _cannot_start(name, child, code))
            return
        if code == EXIT_USAGE and not child.ready:
            raise RefusedError(_cannot_start(name, child, code))
        # A first start says what is wrong with this machine. A later one may meet what its predecessor
        # left behind for a moment (a port, a full disk), so that is a matter of the budget.
        if code == EXIT_MISSING and not slot.ever_ready:
            raise SupervisorError(_cannot_start(name, child, code))
        now_ns = self._clock.monotonic_ns()
        pause_s = slot.budget.spend(now_ns)
        window_s = self._config.supervisor.restart_window_s
        ending = describe_end(code) if child.ready or not child.failure else _cannot_start(name, child, code)
        if pause_s is None and slot.added and not slot.ever_ready:
            self._give_up(slot, f"{name} {ending}, {slot.budget.restarts + 1} times in a row")
            return
        if pause_s is None:
            raise SupervisorError(
                f"{name} {ending}, and its budget of {slot.budget.restarts} restarts within {window_s} s is "
                "spent; everything stops"
            )
        slot.resume_ns = now_ns + int(pause_s * NS_PER_S)
        self._report(
            f"{name} {ending}; restart {slot.budget.spent} of {slot.budget.restarts} within {window_s} s "
            f"in {pause_s * 1000:.0f} ms"
        )

    # ---- the end ----------------------------------------------------------------------------------------

    def _stop_stage(self, slots: list[Slot]) -> None:
        drain_s = self._config.supervisor.drain_s
        for slot in slots:
            assert slot.child is not None
            slot.child.send(signal.SIGTERM)  # harmless to one that leaves already
        deadline = time.monotonic() + drain_s
        for slot in slots:
            child = slot.child
            assert child is not None
            if not child.wait(max(0.0, deadline - time.monotonic())):
                self._report(f"{slot.worker.name} has not drained within {drain_s} s; killing it")
                child.send(signal.SIGKILL)
                child.wait(limits.START_S)
            elif (code := child.exit_code()) not in (0, -signal.SIGTERM):
                self._report(f"{slot.worker.name} {describe_end(code or 0)} while leaving")
            child.close()
            slot.child = None

    # ---- what others see --------------------------------------------------------------------------------

    def _write_status(self) -> None:
        data_dir = self._config.data_dir
        status = status_of(self._config, self._slots, self._started_us)
        try:
            write_status(data_dir, status)
        except OSError as error:  # a full disk stops the gateway's intake, not the supervision
            self._report(f"status.json cannot be written: {error}")

    def _list_members(self) -> None:
        """Tried again with each turn: an ordinal that stays listed would be waited for."""
        text = encode_members(listed(self._slots))
        if text == self._listed:
            return
        try:
            write_atomically(members_file(self._config.data_dir), text)
            self._listed = text
        except OSError as error:
            if self._forker is None:
                raise
            self._report(f"members.json cannot be written: {error}")

    def _report(self, line: str) -> None:
        with self._say:
            self._report_line(line)


def _cannot_start(name: str, child: Child, code: int) -> str:
    failure = child.failure or describe_end(code)
    return "\n".join(f"{name} cannot start: {line}" for line in failure.splitlines())
