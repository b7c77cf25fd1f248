"""Sleeps until the supervisor has something to look after: a worker's end wakes it, nothing else does."""

from __future__ import annotations

import os
import select
from types import TracebackType
from typing import Self

from pipeline.process import StopFlag
from pipeline.supervisor.supervisor import Supervisor

SHORT_S = 0.1
"""While some worker is not ready: its first word, or the end of a pause, is what is waited for."""
LONG_S = 1.0
"""While all are, and the kernel tells when one ends. Whoever is told to leave, and does not, is killed this
much late."""


class Vigil:
    """`while not vigil.wait(stop): supervisor.poll()`, in a `with` block."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._ends: dict[int, int] = {}
        """pid → descriptor that turns readable when it ends."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget(set(self._ends))

    def wait(self, stop: StopFlag, most_s: float = LONG_S) -> bool:
        """Until a worker has ended, but no longer than `most_s` and is good for those that start; True once
        `stop` is set."""
        if not self._supervisor.ready or not self._follow():
            return stop.wait(min(SHORT_S, most_s))
        poller = select.poll()
        for fd in (stop.fd, *self._ends.values()):
            poller.register(fd, select.POLLIN)
        poller.poll(most_s * 1000)
        return stop.is_set()

    def _follow(self) -> bool:
        """False when some worker's end would not be told."""
        pids = {process.pid for process in self._supervisor.processes()}
        self._forget(self._ends.keys() - pids)
        try:
            for pid in pids - self._ends.keys():
                self._ends[pid] = os.pidfd_open(pid)
        except OSError:  # it is gone already, or this kernel has none to give (before 5.3)
            return False
        return True

    def _forget(self, pids: set[int]) -> None:
        for pid in pids:
            os.close(self._ends.pop(pid))
