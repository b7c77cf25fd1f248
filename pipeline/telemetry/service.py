"""The collector's process: drains on a timer and serves what it knows, on one thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Protocol

# One matrix is never multiplied here: the library's threads would only cost memory. Before numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import msgspec
import uvicorn

from pipeline.clock import NS_PER_MS, NS_PER_S, SystemClock
from pipeline.config import Config
from pipeline.errors import MissingError
from pipeline.snapshot import encode_snapshot
from pipeline.telemetry.collector import AFTER_STEP_NS, BUSY_PEEK_NS, PEEK_NS, TICK_NS, Collector
from pipeline.telemetry.discovery import CollectorLock
from pipeline.telemetry.exporter import Exporter
from pipeline.telemetry.flight import remove_flights
from pipeline.telemetry.prometheus import render
from pipeline.telemetry.recorder import telemetry_directory
from pipeline.telemetry.stream import Hub
from pipeline.telemetry.view import build_snapshot, sla_state

STREAM_EVERY_NS = 500 * NS_PER_MS
LATE_NS = 5 * NS_PER_S
"""Not drained for this long: /healthz says so."""
LEAVE_S = 2
"""Open connections get this long when the collector leaves."""


class StopFlag(Protocol):
    """A `threading.Event`, or anything that can tell whether to stop."""

    def is_set(self) -> bool: ...


class CollectorPages:
    """What the exporter shows of a collector. A snapshot is built once between two drains."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._clock = SystemClock()
        self._drained_ns = self._clock.monotonic_ns()
        self._snapshots: dict[frozenset[str], bytes] = {}

    def drained(self) -> None:
        """Something may have changed."""
        self._drained_ns = self._clock.monotonic_ns()
        self._snapshots.clear()

    def metrics(self) -> bytes:
        return render(self._collector, self._clock.monotonic_ns())

    def snapshot(self, sketches: frozenset[str] = frozenset()) -> bytes:
        if sketches not in self._snapshots:
            clock = self._clock
            self._snapshots[sketches] = encode_snapshot(
                build_snapshot(self._collector, clock.monotonic_ns(), clock.wall_us(), sketches)
            )
        return self._snapshots[sketches]

    def health(self) -> tuple[bool, bytes]:
        silent_ns = self._clock.monotonic_ns() - self._drained_ns
        facts = {"rings": len(self._collector.sources), "drained_ms_ago": silent_ns / NS_PER_MS}
        return silent_ns < LATE_NS, msgspec.json.encode(facts)


def run_collector(config: Config, stop: StopFlag, ready: Callable[[], None] = lambda: None) -> int:
    """Drain and serve until `stop` is set, drain once more, leave no file behind. Returns 0.

    `ready` is called once the port is open. Installs no signal handlers. Raises MissingError when the
    directory or the port cannot be had, or another collector drains this directory.
    """
    lock = CollectorLock(telemetry_directory(config))
    try:
        with _listen(config.telemetry.host, config.telemetry.port) as listener:
            collector = Collector(lock.path.parent)
            try:
                asyncio.run(_serve(collector, listener, stop, ready))
            finally:
                collector.close()
                remove_flights(lock.path.parent)
    finally:
        lock.release()
    return 0


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it, and tells when it serves."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


async def _serve(
    collector: Collector, listener: socket.socket, stop: StopFlag, ready: Callable[[], None]
) -> None:
    pages, hub = CollectorPages(collector), Hub()
    settings = uvicorn.Config(
        Exporter(pages, hub),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=LEAVE_S,
    )
    server = _Server(settings, ready)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await _drain_until(collector, pages, hub, stop, serving)
    finally:
        hub.close()
        server.should_exit = True
        await serving
    collector.tick(final=True)


async def _drain_until(
    collector: Collector, pages: CollectorPages, hub: Hub, stop: StopFlag, serving: asyncio.Task[None]
) -> None:
    stream_due_ns = 0
    hurried = False
    while not stop.is_set() and not serving.done():
        breaches = collector.tick()
        pages.drained()
        for breach in breaches:
            hub.give(breach=msgspec.json.encode(sla_state(breach)))
        now_ns = time.monotonic_ns()
        if hub and (breaches or now_ns >= stream_due_ns):
            stream_due_ns = now_ns + STREAM_EVERY_NS
            for wish in hub.wishes():
                hub.give(snapshot=pages.snapshot(wish), sketches=wish)
        hurried = await _until_due(collector, BUSY_PEEK_NS if hurried else PEEK_NS)


async def _until_due(collector: Collector, peek_ns: int) -> bool:
    """Wait for the end of the step that time is in, or for a ring that fills faster than that (True)."""
    due_ns = (time.monotonic_ns() // TICK_NS + 1) * TICK_NS + AFTER_STEP_NS
    while (left_ns := due_ns - time.monotonic_ns()) > 0:
        await asyncio.sleep(min(peek_ns, left_ns) / NS_PER_S)
        if collector.filling:
            return True
    return False


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=128)
        # Inherited by what is accepted: head and body are two writes, and the second one would wait 40 ms
        # for the client's delayed acknowledgement of the first.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise MissingError(f"telemetry.port = {port}: cannot listen on {host}: {error.strerror}") from None
