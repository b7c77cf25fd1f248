"""What a worker says about itself, so that nobody needs to look into its /proc from another container."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock
from pipeline.telemetry.events import EventID
from pipeline.telemetry.recorder import Recorder

CPU_EVERY_NS = 200 * NS_PER_MS
"""Five samples a second: enough for a percentage over the 1 s window."""
MEMORY_EVERY_NS = 1 * NS_PER_S
PROPORTIONAL_EVERY_NS = 10 * NS_PER_S
"""The kernel walks the page tables for a proportional set size, 0.3 ms for 100 MB: it is asked again when the
resident size, which it knows by heart, has changed by more than RESIDENT_SHARE, or after so long."""
RESIDENT_SHARE = 256

_ROLLUP = Path("/proc/self/smaps_rollup")
_STATM = Path("/proc/self/statm")


class SelfReport:
    """Writes heartbeat, DEPTH, CPU and MEMORY. Call it from the loop that does the work, a few times a
    second; the dear figures are taken less often by themselves."""

    __slots__ = (
        "_clock",
        "_cpu_due_ns",
        "_memory",
        "_memory_due_ns",
        "_proportional_due_ns",
        "_recorder",
        "_resident",
    )

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._cpu_due_ns = 0
        self._memory_due_ns = 0
        self._proportional_due_ns = 0
        self._memory = 0
        self._resident = 0
        """When `_memory` was found."""

    def report(self, depth: int = 0) -> None:
        """`depth`: messages waiting in the worker's own queue."""
        recorder = self._recorder
        recorder.heartbeat()
        recorder.gauge(EventID.DEPTH, depth)
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._cpu_due_ns:
            self._cpu_due_ns = now_ns + CPU_EVERY_NS
            recorder.gauge(EventID.CPU, time.process_time_ns())
        if now_ns >= self._memory_due_ns:
            self._memory_due_ns = now_ns + MEMORY_EVERY_NS
            if memory := self._memory_at(now_ns):
                recorder.gauge(EventID.MEMORY, memory)

    def _memory_at(self, now_ns: int) -> int:
        resident = resident_bytes()
        moved = abs(resident - self._resident) * RESIDENT_SHARE > self._resident
        if moved or now_ns >= self._proportional_due_ns:
            self._proportional_due_ns = now_ns + PROPORTIONAL_EVERY_NS
            self._resident = resident
            self._memory = proportional_bytes() or resident
        return self._memory


def proportional_bytes() -> int:
    """Proportional set size of this process, so that sums over processes count shared pages once; 0 where
    the kernel does not tell it."""
    with suppress(OSError, ValueError, IndexError):
        for line in _ROLLUP.read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def resident_bytes() -> int:
    """Resident set size of this process; 0 without /proc."""
    with suppress(OSError, ValueError, IndexError):
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGESIZE")
    return 0
