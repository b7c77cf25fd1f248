"""The calls that record for whichever thread makes them: what `MetricsCollector` and `measure` are made of.

Two makes with the same meaning, `PythonCalls` and `NativeCalls`. A thread's first call opens its part, by a
function that the collector gives.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import ModuleType
from typing import Protocol

from pipeline.telemetry.layout import CORRELATION_MASK, CORRELATION_SHIFT
from pipeline.telemetry.native import extension
from pipeline.telemetry.recorder import MAX_EVENT_ID, START_BITS, UNWRITABLE
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


class ThreadPart:
    """What one thread holds; when the thread ends this is collected, and its ring with it.

    Without a ring the thread records nothing.
    """

    __slots__ = ("__weakref__", "_sampler", "hold", "put", "put_start", "ring")

    def __init__(self, ring: Ring | None, rate_now: Callable[[], float]) -> None:
        self.ring = ring
        self.put: Put = _refuse if ring is None else ring.put
        """For DURATIONs: straight into the ring until sampling is first asked for."""
        self.put_start = ring.put if ring is not None and ring.path is not None else None
        self._sampler = None if ring is None else Sampler(ring.put, rate_now)
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
    block: Callable[[int], AbstractContextManager[None]]
    """A `with` block of an event, for one use; nesting, threads and tasks are fine."""
    set_recording: Callable[[bool], None]
    """At once, for every thread."""
    correlate_by: Callable[[ContextVar[int]], None]
    """From now on entries carry this variable's value."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._local = threading.local()

    def part(self) -> ThreadPart:
        """The calling thread's."""
        try:
            part: ThreadPart = self._local.part
        except AttributeError:
            return self.open()
        return part

    def open(self) -> ThreadPart:
        """Make the calling thread's part.

        A signal handler, gc callback or log handler that records meanwhile makes another; not so a third.
        """
        local = self._local
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
        """Let every thread open again; `starts`: their rings take START entries too."""
        self._local = threading.local()


class PythonCalls(Calls):
    """As closures, which reach what they need faster than methods do."""

    def __init__(self, opener: Opener) -> None:
        super().__init__(opener)
        self._bind()

    def _bind(self) -> None:  # noqa: C901 - small functions around one state
        now = time.monotonic_ns
        recording, writes_starts = True, False
        local = self._local
        current: Callable[[], int] | None = None

        def record_start(event_id: int) -> int:
            if not recording:
                return 0
            if not writes_starts:
                return now()
            put_start = self.part().put_start  # first: making a ring is no part of what is measured
            started_ns = now()
            if put_start is not None:
                _put(put_start, started_ns, 0, event_id, START_BITS)
            return started_ns

        def record_end(event_id: int, start_ts: int) -> None:
            if start_ts and recording:
                ended_ns = now()
                try:
                    put = local.part.put
                except AttributeError:
                    put = open_part().put
                try:
                    if event_id > MAX_EVENT_ID:
                        event_id = UNWRITABLE
                    if current is None:
                        put(ended_ns, ended_ns - start_ts, event_id)
                    else:
                        _put(put, ended_ns, ended_ns - start_ts, event_id)
                except TypeError:  # not a time, or not an event
                    put(UNWRITABLE, 0, 0)

        def record(event_id: int, duration_ns: int) -> None:
            if recording:
                _put(self.part().put, now(), duration_ns, event_id)

        def _put(put: Put, end_ns: int, value: int, event_id: int, bits: int = 0) -> None:
            try:
                if event_id > MAX_EVENT_ID:
                    event_id = UNWRITABLE
                which = 0 if current is None else (current() & CORRELATION_MASK) << CORRELATION_SHIFT
                put(end_ns, value, event_id | which | bits)
            except TypeError:  # not a duration, or not an event
                put(UNWRITABLE, 0, 0)

        def set_recording(on: bool) -> None:
            nonlocal recording
            recording = on

        def correlate_by(variable: ContextVar[int]) -> None:
            nonlocal current
            current = variable.get

        def open_part() -> ThreadPart:
            nonlocal local
            local = self._local
            return self.part()

        def forget_threads(*, starts: bool = False) -> None:
            nonlocal local, writes_starts
            local = self._local = threading.local()
            writes_starts = starts

        class Block:
            """Does what `record_start` and `record_end` do without calling them: that is a fifth of it."""

            __slots__ = ("_event_id", "_started_ns")

            def __init__(self, event_id: int) -> None:
                try:
                    self._event_id = event_id if event_id <= MAX_EVENT_ID else UNWRITABLE
                except TypeError:  # not an event
                    self._event_id = UNWRITABLE

            def __enter__(self) -> None:
                self._started_ns = now() if recording and not writes_starts else record_start(self._event_id)

            def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
                if current is not None:
                    record_end(self._event_id, self._started_ns)
                elif recording and self._started_ns:
                    ended_ns = now()
                    try:
                        put = local.part.put
                    except AttributeError:
                        put = open_part().put
                    event_id = self._event_id
                    try:
                        put(ended_ns, ended_ns - self._started_ns, event_id)
                    except TypeError:  # not an event
                        put(UNWRITABLE, 0, 0)

        self.record_start, self.record_end, self.record = record_start, record_end, record
        self.block = Block
        self.set_recording, self.correlate_by = set_recording, correlate_by
        self.forget_threads = forget_threads  # type: ignore[method-assign]


class NativeCalls(Calls):
    """The extension finds the calling thread's writer by itself."""

    def __init__(self, opener: Opener, fast: ModuleType) -> None:
        super().__init__(opener)
        self._fast = fast
        self.record_start, self.record_end, self.record = fast.record_start, fast.record_end, fast.record
        self.block = fast.measure
        self.set_recording, self.correlate_by = fast.set_recording, fast.correlate_by
        fast.configure(self.part)

    def open(self) -> ThreadPart:
        part = super().open()
        if part.ring is not None and part.ring.native is not None:
            part.ring.native.starts = part.put_start is not None
            part.hold = self._fast.adopt(part.ring.native)
        return part

    def forget_threads(self, *, starts: bool = False) -> None:  # noqa: ARG002 - each part's ring tells
        self._fast.forget_threads()  # first: nobody may find a writer that its thread has let go of
        super().forget_threads()


def make_calls(opener: Opener) -> Calls:
    """The extension's where it is in use, else Python's."""
    return PythonCalls(opener) if extension is None else NativeCalls(opener, extension)


def _refuse(_end_ns: int, _value: int, _what: int) -> bool:
    return False
