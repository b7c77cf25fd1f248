"""How long a call takes, less what other processes took from it.

On a shared machine the tail of wall-clock times is the neighbours': a call that is preempted takes
milliseconds longer, and a p95 of such times says nothing about the code. So the time of a call that never
waited is its thread's CPU time. A call that did wait (for a disk, a lock, a sleep: the kernel counts it as a
voluntary context switch) is timed by the wall clock, for waiting is what it did.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

_rusage = resource.getrusage
_THREAD = resource.RUSAGE_THREAD
_WAITS = 14
"""Place of ru_nvcsw in the result of getrusage(2)."""


def timed_ms(call: Callable[[], object]) -> float:
    """Calls once; milliseconds. What the call raises passes through."""
    waits = _rusage(_THREAD)[_WAITS]
    wall_ns, cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
    call()
    cpu_ns, wall_ns = time.thread_time_ns() - cpu_ns, time.perf_counter_ns() - wall_ns
    waited = _rusage(_THREAD)[_WAITS] != waits
    return (wall_ns if waited else cpu_ns) / 1e6
