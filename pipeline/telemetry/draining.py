"""Drains a collector on a timer, on a thread of its own.

A sleeping thread wakes for a third of what a timer of an event loop costs, and most of what an idle collector
takes is waking.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Protocol

from pipeline.clock import NS_PER_S
from pipeline.telemetry.collector import AFTER_STEP_NS, BUSY_PEEK_NS, PEEK_NS, TICK_NS, Collector
from pipeline.telemetry.sla import SLAResult


class StopFlag(Protocol):
    """A `threading.Event`, or anything that can tell whether to stop."""

    def is_set(self) -> bool: ...


class Draining:
    """`with Draining(…):` a collector is drained."""

    def __init__(
        self,
        collector: Collector,
        stop: StopFlag,
        drained: Callable[[list[SLAResult]], None],
        ended: Callable[[], None],
        *,
        lock: AbstractContextManager[object],
    ) -> None:
        """`lock` is held while the collector is at work.

        `drained` gets the new breaches after each drain, within the lock; `ended` is called when `stop`
        was seen or draining failed. Both are called on the draining thread.
        """
        self._lock = lock
        self._collector = collector
        self._stop = stop
        self._drained = drained
        self._ended = ended
        self._leave = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="telemetry-drain", daemon=True)

    def __enter__(self) -> Draining:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Raises what ended the draining, if it was not `stop`."""
        self._leave.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            hurried = False
            while not self._leaves():
                with self._lock:
                    self._drained(self._collector.tick())
                hurried = self._wait(BUSY_PEEK_NS if hurried else PEEK_NS)
        except BaseException as error:
            self._error = error
        finally:
            with suppress(RuntimeError):  # the event loop that it tells has ended first
                self._ended()

    def _leaves(self) -> bool:
        return self._stop.is_set() or self._leave.is_set()

    def _wait(self, peek_ns: int) -> bool:
        """Until the end of the step that time is in, or for a ring that fills faster than that (True)."""
        due_ns = (time.monotonic_ns() // TICK_NS + 1) * TICK_NS + AFTER_STEP_NS
        if (urgent := self._collector.sleep(due_ns, peek_ns)) is not None:
            return urgent
        while (left_ns := due_ns - time.monotonic_ns()) > 0 and not self._leaves():
            time.sleep(min(peek_ns, left_ns) / NS_PER_S)
            if self._collector.urgent:
                return True
        return False
