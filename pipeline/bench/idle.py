"""What a whole pipeline that nobody posts to takes of a processor."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import RinglineError
from pipeline.process import StopFlag
from pipeline.replay.running import Running
from pipeline.supervisor import Vigil
from pipeline.supervisor.vigil import LONG_S

SETTLE_S = 2.0
"""Imports and first samples are over by then."""


def idle_percent(config: Config, seconds: float, say: Callable[[str], None]) -> dict[str, float]:
    """Percent of one core that each process of an idle pipeline takes, this one (as supervisor) included.

    Raises RinglineError when it cannot be started or is interrupted.
    """
    stop = StopFlag()
    stop.listen()
    with Running(config, say) as running, Vigil(running.supervisor) as vigil:
        if not running.start(stop) or not _turn(running, vigil, stop, SETTLE_S):
            raise RinglineError("interrupted")
        pids = {"supervisor": os.getpid()}
        pids |= {process.name: process.pid for process in running.supervisor.processes()}
        before = {name: cpu_ns(pid) for name, pid in pids.items()}
        started_ns = time.monotonic_ns()
        if not _turn(running, vigil, stop, seconds):
            raise RinglineError("interrupted")
        elapsed_ns = time.monotonic_ns() - started_ns
        return {name: 100 * (cpu_ns(pid) - before[name]) / elapsed_ns for name, pid in pids.items()}


def _turn(running: Running, vigil: Vigil, stop: StopFlag, seconds: float) -> bool:
    """As `ringline up` looks after its workers."""
    end = time.monotonic() + seconds
    while (left_s := end - time.monotonic()) > 0:
        running.poll()
        if vigil.wait(stop, min(LONG_S, left_s)):
            return False
    return True


def cpu_ns(pid: int) -> int:
    """Processor time of all threads of a process so far. Raises OSError when it is gone."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        total += int((thread / "schedstat").read_text().split()[0])
    return total
