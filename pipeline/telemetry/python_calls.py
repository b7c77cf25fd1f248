"""The calls in Python: each a closure over their state, which reach it faster than methods do."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar

from pipeline.telemetry.calls import Calls, Opener, RecordDuration, RecordEnd, RecordStart
from pipeline.telemetry.layout import CORRELATION_MASK, CORRELATION_SHIFT
from pipeline.telemetry.recorder import MAX_EVENT_ID, UNWRITABLE
from pipeline.telemetry.ring import end_at, end_start
from pipeline.telemetry.spans import no_decorator
from pipeline.telemetry.starts import Starts
from pipeline.telemetry.writer import Put

now = time.monotonic_ns


class PythonCalls(Calls):
    """Their state."""

    def __init__(self, opener: Opener) -> None:
        super().__init__(opener)
        self.recording = True
        self.writes_starts = False
        self.current: Callable[[], int] | None = None
        """Gives the correlation, once somebody uses it."""
        self.record_start, self.record_end = make_start(self), make_end(self)
        self.record, self.block = make_record(self), make_block(self)

    def set_recording(self, on: bool) -> None:
        self.recording = on

    def correlate_by(self, variable: ContextVar[int]) -> None:
        self.current = variable.get

    def forget_threads(self, *, starts: bool = False) -> None:
        super().forget_threads()
        self.writes_starts = starts


def make_start(calls: PythonCalls) -> RecordStart:
    """`record_start` of these calls."""

    def record_start(event_id: int) -> int:
        if not calls.recording:
            return 0
        if not calls.writes_starts:
            return now()
        starts = calls.part().starts  # first: making a ring is no part of what is measured
        started_ns = now()
        if starts is not None:
            _begin(calls, starts, started_ns, event_id)
        return started_ns

    return record_start


def make_end(calls: PythonCalls) -> RecordEnd:
    """`record_end` of these calls."""

    def record_end(event_id: int, start_ts: int) -> None:
        if start_ts and calls.recording:
            ended_ns, begun = now(), event_id
            try:
                put = calls.local.part.put
            except AttributeError:
                put = calls.part().put
            try:
                if event_id > MAX_EVENT_ID:
                    event_id = UNWRITABLE
                if calls.current is None:
                    put(ended_ns, ended_ns - start_ts, event_id)
                else:
                    _put(calls, put, ended_ns, ended_ns - start_ts, event_id)
            except TypeError:  # not a time, or not an event
                put(UNWRITABLE, 0, 0)
            if calls.writes_starts:
                _end(calls, start_ts, begun)
        elif start_ts and calls.writes_starts:
            _end(calls, start_ts, event_id)

    return record_end


def make_record(calls: PythonCalls) -> RecordDuration:
    """`record` of these calls."""

    def record(event_id: int, duration_ns: int) -> None:
        if calls.recording:
            _put(calls, calls.part().put, now(), duration_ns, event_id)

    return record


def make_block(calls: PythonCalls) -> Callable[..., AbstractContextManager[None]]:
    """`block` of these calls."""
    record_start, record_end = make_start(calls), make_end(calls)

    class Block:
        """Does what `record_start` and `record_end` do without calling them: that is a fifth of it."""

        __slots__ = ("_event_id", "_started_ns")

        def __init__(self, event_id: int) -> None:
            try:
                self._event_id = event_id if event_id <= MAX_EVENT_ID else UNWRITABLE
            except TypeError:  # not an event
                self._event_id = UNWRITABLE
            self._started_ns = 0

        __call__ = no_decorator

        def __enter__(self) -> None:
            if calls.recording and not calls.writes_starts:
                self._started_ns = now()
            else:
                self._started_ns = record_start(self._event_id)

        def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
            if calls.current is not None or calls.writes_starts:
                record_end(self._event_id, self._started_ns)
            elif calls.recording and self._started_ns:
                ended_ns = now()
                try:
                    put = calls.local.part.put
                except AttributeError:
                    put = calls.part().put
                try:
                    put(ended_ns, ended_ns - self._started_ns, self._event_id)
                except TypeError:  # not an event
                    put(UNWRITABLE, 0, 0)

    return Block


def _begin(calls: PythonCalls, starts: Starts, at_ns: int, event_id: int) -> None:
    with suppress(TypeError):  # not an event
        if event_id <= MAX_EVENT_ID:
            which = 0 if calls.current is None else (calls.current() & CORRELATION_MASK) << CORRELATION_SHIFT
            starts.begin(at_ns, event_id | which)


def _end(calls: PythonCalls, at_ns: int, event_id: int) -> None:
    """Also while recording is off: what has ended is not under way. It may have begun in another thread."""
    starts = calls.part().starts
    if starts is not None and starts.end(at_ns, event_id):
        return
    if end_start(at_ns, event_id) or (starts is not None and starts.end_likely(at_ns, event_id)):
        return
    end_at(at_ns)


def _put(calls: PythonCalls, put: Put, end_ns: int, value: int, event_id: int) -> None:
    try:
        if event_id > MAX_EVENT_ID:
            event_id = UNWRITABLE
        which = 0 if calls.current is None else (calls.current() & CORRELATION_MASK) << CORRELATION_SHIFT
        put(end_ns, value, event_id | which)
    except TypeError:  # not a duration, or not an event
        put(UNWRITABLE, 0, 0)
