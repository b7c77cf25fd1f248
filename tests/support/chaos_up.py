"""`ringline up` as a process of its own, which can be killed and started again on the same data."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from urllib.request import urlopen

import msgspec

from pipeline.config import Config

READY_S = 60.0
LEAVE_S = 60.0
ROLES = ("worker", "collector", "feed")


class Process(NamedTuple):
    """A process that `ringline up` started."""

    stage: str
    pid: int


class Up:
    """One pipeline. `faults` has what no kill excuses: processes left behind, an end unasked for."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.config = config
        self.file = folder / "chaos.json"
        self.file.write_bytes(msgspec.json.encode(config))
        self.log = folder / "up.log"
        self.faults: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when it is ready."""
        with self.log.open("ab") as log:
            command = (sys.executable, "-m", "pipeline", "up", "--config", str(self.file))
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        if not self._wait(self._ready, READY_S):
            self.faults.append(f"not ready {READY_S:g} s after its start: {self.said()}")

    def stop(self) -> None:
        """As `kill` does; nothing may be left."""
        if self._process is None:
            return
        left = self.processes()
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            code = -1
            self._process.kill()
            self._process.wait()
        self._process = None
        if code:
            self.faults.append(f"`ringline up` ended with {code} after SIGTERM: {self.said()}")
        self._none_left(left)

    def kill(self) -> None:
        """SIGKILL to the supervisor, and a look whether all of its workers leave by themselves."""
        assert self._process is not None
        left = self.processes()
        self._process.kill()
        self._process.wait()
        self._process = None
        self._none_left(left)

    def processes(self, *stages: str) -> list[Process]:
        """What runs now, as the kernel knows it: a full disk may have kept a status from being written."""
        if self._process is None:
            return []
        found = []
        for task in _listed(Path(f"/proc/{self._process.pid}/task")):
            for pid in _read(task / "children").split():
                role = _role(int(pid))
                if role and (not stages or role in stages):
                    found.append(Process(role, int(pid)))
        return sorted(found)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def said(self) -> str:
        """The last lines of its output."""
        return " | ".join(self.log.read_text(errors="replace").splitlines()[-8:])

    def _ready(self) -> bool:
        gateway = self.config.gateway
        with (
            contextlib.suppress(OSError),
            urlopen(f"http://{gateway.host}:{gateway.port}/readyz", timeout=2) as answer,
        ):
            return bool(answer.status == 200)
        return not self.alive()

    def _none_left(self, before: list[Process]) -> None:
        """Waits until none of `before` runs, nor any other process that was started with our data."""

        def left() -> list[int]:
            mine = [one.pid for one in before if _role(one.pid) == one.stage]
            return sorted({*mine, *_processes_of(self.config.data_dir)})

        if not self._wait(lambda: not left(), LEAVE_S):
            self.faults.append(f"left behind by `ringline up`: {left()}")
            for pid in left():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    @staticmethod
    def _wait(fact: Callable[[], bool], within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while not fact():
            if time.monotonic() > deadline:
                return False
            threading.Event().wait(0.02)
        return True


def _role(pid: int) -> str:
    """The stage that a process of ours is, by its command line; empty for any other and when it has ended."""
    words = _read(Path(f"/proc/{pid}/cmdline")).split("\0")
    if "pipeline" not in words or "--config" not in words:
        return ""
    role = words[words.index("pipeline") + 1]
    return words[words.index("worker") + 1] if role == "worker" else role if role in ROLES else ""


def _processes_of(data_dir: str) -> list[int]:
    """Processes with a file of this data folder in their command lines."""
    return [
        int(folder.name)
        for folder in _listed(Path("/proc"))
        if folder.name.isdecimal() and f"{data_dir}/" in _read(folder / "cmdline")
    ]


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
