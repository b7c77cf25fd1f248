"""The calls that record for whichever thread makes them: what `MetricsCollector` and `measure` are made of.

Two makes with the same meaning, `PythonCalls` and `NativeCalls`; `make_calls` chooses. A thread's first call
opens its part, by a function that the collector gives.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Protocol

from pipeline.telemetry.ring import Ring
from pipeline.telemetry.sampling import Sampler
from pipeline.telemetry.writer import Put

NESTED_OPENINGS = 3
"""A log handler that is measured itself would otherwise open without end where no ring can be had."""


class RecordStart(Protocol):
    def __call__(self, event_id: int) -> int: ...


class RecordEnd(Protocol):
    def __call__(self, event_id: int, start_ts: int) -> None: ...


class RecordDuration(Protocol):
    def __call__(self, event_id: int, duration_ns: int) -> None: ...


class MakeBlock(Protocol):
    def __call__(self, event_id: int) -> AbstractContextManager[None]: ...


class ThreadPart:
    """What one thread holds; when the thread ends this is collected, and its ring with it.

    Without a ring the thread records nothing.
    """

    __slots__ = ("__weakref__", "_sampler", "hold", "put", "ring", "starts")

    def __init__(
        self,
        ring: Ring | None,
        rate_now: Callable[[], float],
        tell: Callable[[int, int], None] | None = None,
    ) -> None:
        """`tell`: see `Sampler`."""
        self.ring = ring
        self.put: Put = _refuse if ring is None else ring.put
        """For DURATIONs: straight into the ring until sampling is first asked for."""
        self.starts = ring.starts if ring is not None and ring.path is not None else None
        """Where what is under way is told; None where nobody would look."""
        self._sampler = (
            None if ring is None else Sampler(ring.put, rate_now, announce=ring.announce, tell=tell)
        )
        self.hold: object = None

    def sample(self) -> None:
        """From now on DURATIONs pass the sampler, which also tells the reader when the rate is 1 again."""
        if self._sampler is not None and self.ring is not None:
            self.put = self._sampler
            if self.ring.native is not None:
                self.ring.native.divert(self._sampler)


def close_finished(ring: Ring, part: weakref.ref[ThreadPart]) -> bool:
    """True for the drained ring of a thread that has ended; it is closed."""
    if part() is not None or ring.waiting:
        return False
    ring.close()
    return True


Opener = Callable[[], ThreadPart]


class Calls:
    """What both makes have."""

    record_start: RecordStart
    record_end: RecordEnd
    record: RecordDuration
    block: MakeBlock
    """A `with` block of an event, for one use; nesting, threads and tasks are fine."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self.local = threading.local()
        """Holds each thread's part."""

    def set_recording(self, on: bool) -> None:
        """At once, for every thread."""
        raise NotImplementedError

    def correlate_by(self, variable: ContextVar[int]) -> None:
        """From now on entries carry this variable's value."""
        raise NotImplementedError

    def part(self) -> ThreadPart:
        """The calling thread's."""
        try:
            part: ThreadPart = self.local.part
        except AttributeError:
            return self.open()
        return part

    def open(self) -> ThreadPart:
        """Make the calling thread's part.

        A signal handler, gc callback or log handler that records meanwhile makes another; not so a third.
        """
        local = self.local
        nested = getattr(local, "nested", 0)
        if nested >= NESTED_OPENINGS:
            return ThreadPart(None, lambda: 1.0)
        local.nested = nested + 1
        try:
            part = self._opener()
        finally:
            local.nested = nested
        local.part = part
        return part

    def forget_threads(self, *, starts: bool = False) -> None:  # noqa: ARG002 - some need it
        """Let every thread open again; `starts`: their rings tell what is under way."""
        self.local = threading.local()


def _refuse(_end_ns: int, _value: int, _what: int) -> bool:
    return False
