"""What a process can tell about itself while it runs: pauses of the garbage collector, lag of the event loop.

    watch_gc()                        # each pause becomes a GC_PAUSE
    probe = watch_event_loop()        # within a running loop: how late a timer fires, as EVENT_LOOP_LAG
    probe.stop()

Queue backlog is a call: `MetricsCollector().record_backlog(queue.qsize())`.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.clock import NS_PER_S
from pipeline.telemetry.events import EventID
from pipeline.telemetry.metrics import MetricsCollector

if TYPE_CHECKING:
    import asyncio

_GC_PAUSE, _EVENT_LOOP_LAG = int(EventID.GC_PAUSE), int(EventID.EVENT_LOOP_LAG)
_record = MetricsCollector().record
_now = time.monotonic_ns


class _GcWatch:
    """A callback of the garbage collector; one thread collects at a time, and never within a collection."""

    __slots__ = ("_begun_ns",)

    def __init__(self) -> None:
        self._begun_ns = 0

    def __call__(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._begun_ns = _now()
        elif self._begun_ns:
            _record(_GC_PAUSE, _now() - self._begun_ns)
            self._begun_ns = 0


_gc_watch = _GcWatch()


def watch_gc(on: bool = True) -> None:
    """Record each pause of the garbage collector from now on, or no more. Twice on is once."""
    if on and _gc_watch not in gc.callbacks:
        gc.callbacks.append(_gc_watch)
    elif not on and _gc_watch in gc.callbacks:
        gc.callbacks.remove(_gc_watch)


class LoopProbe:
    """Fires a timer again and again and records how late each was."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        every_s: float,
        record: Callable[[int, int], None] = _record,
    ) -> None:
        self._loop = loop
        self._every_s = every_s
        self._record: Any = record
        self._due_s = loop.time() + every_s
        self._timer: asyncio.TimerHandle | None = loop.call_at(self._due_s, self._fire)

    def stop(self) -> None:
        """No more; again: nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        now_s = self._loop.time()
        self._record(_EVENT_LOOP_LAG, max(0, round((now_s - self._due_s) * NS_PER_S)))
        self._due_s = now_s + self._every_s
        self._timer = self._loop.call_at(self._due_s, self._fire)


def watch_event_loop(every_s: float = 0.05) -> LoopProbe:
    """Probe the running event loop until `stop()`. Raises RuntimeError where none runs.

    A loop that is held up for 200 ms is seen as 150 to 200 ms of lag at 50 ms; a probe costs a microsecond.
    """
    import asyncio

    return LoopProbe(asyncio.get_running_loop(), every_s)
