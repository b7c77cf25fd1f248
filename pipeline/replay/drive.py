"""Drives one task through a running pipeline: posts it, then waits until all that was accepted is audited."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from pipeline.clock import Clock
from pipeline.errors import RinglineError
from pipeline.process import StopFlag
from pipeline.replay.client_process import ClientProcess
from pipeline.replay.spec import Progress, Result, Task

LOOK_EVERY_S = 0.05
MEMORY_EVERY_S = 2.0
"""Reading PSS makes the kernel walk a process's pages: some milliseconds each."""
SETTLE_LOOK_S = 0.01
"""The end of a run is known to within this."""
SETTLE_PATIENCE_S = 60.0
"""Without one more row for this long while events are owed, the run has failed: a restart takes seconds."""
INTERRUPTED_PATIENCE_S = 10.0
"""The same after Ctrl-C: whoever pressed it waits."""
QUIET_S = 1.0
"""When requests were left without an answer, rows may come that nobody counts on; then quiet is the end."""

Look = Callable[[str, Progress | None], None]
"""Called often with the phase and what the client said last; for a live view."""


class Pipeline(Protocol):
    """What driving needs of a running pipeline."""

    def poll(self) -> None:
        """Looks after the workers. Raises RinglineError when one is lost for good."""

    def audited(self) -> int:
        """Rows in the audit now."""
        ...

    def measure_memory(self, *others: tuple[str, int]) -> object:
        """Notes the memory of every process, and of `others` (name, pid)."""


class Drive:
    """Tasks one after the other through one pipeline."""

    def __init__(self, running: Pipeline, stop: StopFlag, look: Look, clock: Clock) -> None:
        self._running = running
        self._stop = stop
        self._look = look
        self._clock = clock
        self._progress: Progress | None = None
        self._memory_due_s: float | None = None
        self.last_row_ns = 0
        """When the last row was seen, CLOCK_MONOTONIC."""

    def post(self, task: Task) -> Result:
        """Has a client post `task` and returns its result, also one with a fault.

        Asked to stop, it lets the client finish what is outstanding. Raises RinglineError when the client
        or a worker is lost for good.
        """
        client = ClientProcess(task)
        told = False
        try:
            while (result := client.poll()) is None:
                if self._stop.is_set() and not told:
                    told = True
                    client.stop()
                self._turn("replaying", client)
                if told:  # the flag stays set: sleeping on it would not sleep
                    time.sleep(LOOK_EVERY_S)
                else:
                    self._stop.wait(LOOK_EVERY_S)
            return result
        finally:
            client.kill()

    def settle(self, result: Result, rows_before: int = 0) -> int:
        """Waits until every accepted event of `result` has its row; returns the audit's length, which was
        `rows_before` when `result`'s task began.

        Raises RinglineError when rows stop coming, or a worker is lost for good.
        """
        rows, moved_s = -1, time.monotonic()
        while True:
            self._turn("settling", None)
            now_s, found = time.monotonic(), self._running.audited()
            if found != rows:
                rows, moved_s = found, now_s
                self.last_row_ns = self._clock.monotonic_ns()
            quiet_s = now_s - moved_s
            owed = rows_before + result.total - rows
            if owed <= 0 and (not result.unconfirmed or quiet_s > QUIET_S):
                return rows
            if quiet_s > (INTERRUPTED_PATIENCE_S if self._stop.is_set() else SETTLE_PATIENCE_S):
                raise RinglineError(
                    f"{owed} accepted events are not audited, and no row came for {quiet_s:.0f} s"
                )
            time.sleep(SETTLE_LOOK_S)

    def _turn(self, phase: str, client: ClientProcess | None) -> None:
        self._running.poll()
        if client is not None:
            self._progress = client.progress
        self._measure(client)
        self._look(phase, self._progress)

    def _measure(self, client: ClientProcess | None) -> None:
        """Memory, once the client is at work and every other second from then on."""
        now_s = time.monotonic()
        if self._memory_due_s is None:
            at_work = client is None or (client.progress is not None and client.progress.accepted > 0)
            self._memory_due_s = now_s if at_work else None
        if self._memory_due_s is not None and now_s >= self._memory_due_s:
            self._running.measure_memory(*(() if client is None else (("client", client.pid),)))
            self._memory_due_s = now_s + MEMORY_EVERY_S
