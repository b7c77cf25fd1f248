"""What a worker thread records with. It never raises into its caller and imports nothing heavy.

    recorder = open_recorder(directory, "agent-0", entries)
    record = recorder.record                      # prebind what is hot
    record(EventID.AGENT_DECISION, 12_345)

A recorder belongs to one thread. After a fork the child's copy records nothing; open another there.
"""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pipeline import limits
from pipeline.telemetry.layout import (
    CORRELATION_MASK,
    CORRELATION_SHIFT,
    EVENT_MASK,
    HEARTBEAT,
    KIND_MASK,
    KIND_SHIFT,
    Kind,
    Mode,
)
from pipeline.telemetry.ring import Now, Ring, create_ring
from pipeline.telemetry.spans import make_span
from pipeline.telemetry.starts import Starts
from pipeline.telemetry.writer import Put

if TYPE_CHECKING:  # a recording process need not pay for the configuration's types
    from pipeline.config import Config
    from pipeline.telemetry._fast import Writer

logger = logging.getLogger(__name__)

START_BITS = Kind.START << KIND_SHIFT
COUNT_BITS = Kind.COUNT << KIND_SHIFT
GAUGE_BITS = Kind.GAUGE << KIND_SHIFT
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the ring lives in a private folder below it
MAX_EVENT_ID = limits.MAX_EVENT_ID  # where the hot path finds it at once
UNWRITABLE = 1 << 64
"""Beyond a 64-bit word: `put` refuses it and counts one dropped entry."""


class Record(Protocol):
    def __call__(self, event_id: int, duration_ns: int, correlation: int = 0) -> None: ...


class Start(Protocol):
    def __call__(self, event_id: int, correlation: int = 0) -> int: ...


class End(Protocol):
    def __call__(self, event_id: int, start_ts: int, correlation: int = 0) -> None: ...


class Count(Protocol):
    def __call__(self, event_id: int, n: int = 1, correlation: int = 0) -> None: ...


class MakeSpan(Protocol):
    def __call__(self, event_id: int, correlation: int = 0) -> AbstractContextManager[None]: ...


class Gauge(Protocol):
    def __call__(self, event_id: int, value: int, correlation: int = 0) -> None: ...


class Recorder:
    """The calls a thread makes; each is a closure over its ring, so they may be prebound.

    `correlation` is 32 bits that tie an entry to something: an ordinal, the low bits of an event id.
    """

    __slots__ = ("__weakref__", "close", "count", "end", "gauge", "heartbeat", "record", "span", "start")

    record: Record
    """A latency that ends now and lasted `duration_ns`."""
    start: Start
    """Say in the ring that something begins and return its time; `end` wipes it. What stands there at a
    writer's death is reported as what it was doing."""
    end: End
    """A latency that began at `start_ts`, a value `start` returned (0: recording was off; nothing)."""
    span: MakeSpan
    """A `with` block that records a latency: made once, used often, by this recorder's thread only."""
    count: Count
    """Add `n` to a counter."""
    gauge: Gauge
    """Set a value."""
    heartbeat: Callable[[], None]
    """Say that the thread's loop still turns; at least once a second."""
    close: Callable[[], None]
    """The last call; later ones do nothing."""

    @property
    def on(self) -> bool:
        """False for a recorder that records nothing."""
        return True


class RingRecorder(Recorder):
    """Records into a ring."""

    __slots__ = ("ring",)

    def __init__(self, ring: Ring, now: Now = time.monotonic_ns) -> None:
        self.ring = ring
        if ring.native is not None and now is time.monotonic_ns:  # the clock that the extension reads
            _bind_native(self, ring.native)
        else:
            _bind(self, ring.put, now, ring.starts)
            self.heartbeat = _heartbeat(ring, now)
        # Also when it is forgotten or the interpreter exits: leaving is not dying.
        self.close = weakref.finalize(self, ring.close)


class NullRecorder(Recorder):
    """Records nothing: telemetry is off."""

    __slots__ = ()

    def __init__(self) -> None:
        _bind(self, lambda _end, _value, _what: False, lambda: 0, None)
        self.heartbeat = self.close = lambda: None

    @property
    def on(self) -> bool:
        return False


class Written(NamedTuple):
    """One entry as a ListRecorder keeps it."""

    end_ns: int
    kind: Kind
    event_id: int
    value: int
    correlation: int


class ListStarts:
    """Tells what begins as an entry of the kind START."""

    def __init__(self, put: Put) -> None:
        self._put = put

    def begin(self, at_ns: int, what: int) -> None:
        self._put(at_ns, 0, what | START_BITS)

    def end(self, _at_ns: int, _event_id: int) -> bool:
        return True

    def end_likely(self, _at_ns: int, _event_id: int) -> bool:
        return True


class ListRecorder(Recorder):
    """Records into the list `written`: for tests of what uses a recorder."""

    __slots__ = ("written",)

    def __init__(self, now: Now = time.monotonic_ns) -> None:
        self.written: list[Written] = []

        def put(end_ns: int, value: int, what: int) -> bool:
            kind = Kind(what >> KIND_SHIFT & KIND_MASK)
            self.written.append(Written(end_ns, kind, what & EVENT_MASK, value, what >> CORRELATION_SHIFT))
            return True

        _bind(self, put, now, ListStarts(put))
        self.heartbeat = self.close = lambda: None


def open_recorder(
    directory: Path, worker: str, entries: int, *, mode: Mode = Mode.DROP_NEWEST, now: Now = time.monotonic_ns
) -> Recorder:
    """A recorder whose ring a collector finds in `directory`. `worker` is `stage-ordinal`.

    Never raises: when the ring cannot be made, one warning says why and the recorder records nothing.
    """
    ring = None
    try:
        ring = create_ring(Path(directory), worker, entries, mode=mode, now=now)
        return RingRecorder(ring, now)
    except Exception as error:
        with suppress(Exception):  # whatever a log handler raises
            logger.warning(
                "telemetry of %s is off: no ring in %s: %s", worker, directory, str(error) or repr(error)
            )
        if ring is not None:
            with suppress(Exception):
                ring.close()
        return NullRecorder()


def telemetry_directory(config: Config) -> Path:
    """Where the rings of the instance with this configuration live."""
    if config.telemetry.directory:
        return Path(config.telemetry.directory)
    import hashlib

    instance = hashlib.sha256(str(Path(config.data_dir).resolve()).encode()).hexdigest()[:8]
    return SHARED_MEMORY / f"ringline-{os.geteuid()}-{instance}"


def put_fact(put: Put, at_ns: int, value: int, event_id: int, correlation: int, bits: int) -> None:
    """A COUNT or GAUGE. One that cannot be written is counted as such, and as no lost call. Never raises."""
    try:
        if 0 <= event_id <= MAX_EVENT_ID and 0 <= correlation <= CORRELATION_MASK:
            put(at_ns, value, event_id | correlation << CORRELATION_SHIFT | bits)
            return
    except TypeError:  # not an event
        pass
    put(UNWRITABLE, 0, bits)


def _heartbeat(ring: Ring, now: Now) -> Callable[[], None]:
    words = ring.words

    def heartbeat() -> None:
        with suppress(ValueError):  # closed, or left behind by a fork
            words[HEARTBEAT] = now()

    return heartbeat


def _bind_native(recorder: Recorder, writer: Writer) -> None:
    recorder.record, recorder.start, recorder.end = writer.record, writer.start, writer.end
    recorder.count, recorder.gauge, recorder.span = writer.count, writer.gauge, writer.span
    recorder.heartbeat = writer.heartbeat


def _bind(  # noqa: C901 - small functions around one put
    recorder: Recorder, put: Put, now: Now, starts: Starts | ListStarts | None
) -> None:
    """Give `recorder` its calls. What cannot be written is counted as dropped, by `put`."""

    def record(event_id: int, duration_ns: int, correlation: int = 0) -> None:
        try:
            if event_id > MAX_EVENT_ID:
                event_id = UNWRITABLE
            put(now(), duration_ns, event_id | correlation << CORRELATION_SHIFT)
        except TypeError:
            put(UNWRITABLE, 0, 0)

    def start(event_id: int, correlation: int = 0) -> int:
        started_ns = now()
        with suppress(TypeError):  # its end tells
            if starts is not None and event_id <= MAX_EVENT_ID:
                starts.begin(started_ns, event_id | correlation << CORRELATION_SHIFT)
        return started_ns

    def end(event_id: int, start_ts: int, correlation: int = 0) -> None:
        if not start_ts:
            return
        ended_ns, begun = now(), event_id
        try:
            if event_id > MAX_EVENT_ID:
                event_id = UNWRITABLE
            put(ended_ns, ended_ns - start_ts, event_id | correlation << CORRELATION_SHIFT)
        except TypeError:
            put(UNWRITABLE, 0, 0)
        if starts is not None and not starts.end(start_ts, begun):
            starts.end_likely(start_ts, begun)

    def count(event_id: int, n: int = 1, correlation: int = 0) -> None:
        put_fact(put, now(), n, event_id, correlation, COUNT_BITS)

    def gauge(event_id: int, value: int, correlation: int = 0) -> None:
        put_fact(put, now(), value, event_id, correlation, GAUGE_BITS)

    recorder.record, recorder.start, recorder.end = record, start, end
    recorder.count, recorder.gauge = count, gauge
    recorder.span = make_span(put, now)
