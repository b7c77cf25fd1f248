"""The collector's process: drains on a timer, on one thread, and serves what it knows, on another."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

# One matrix is never multiplied here: the library's threads would only cost memory. Before numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import msgspec
import uvicorn

from pipeline.clock import NS_PER_MS, NS_PER_S, SystemClock
from pipeline.config import Config
from pipeline.errors import MissingError
from pipeline.patient_server import PatientServer
from pipeline.snapshot import encode_snapshot
from pipeline.telemetry.collector import TICK_NS, Collector
from pipeline.telemetry.discovery import CollectorLock
from pipeline.telemetry.draining import Draining, StopFlag
from pipeline.telemetry.events import EventID
from pipeline.telemetry.exporter import Exporter
from pipeline.telemetry.flight import remove_flights
from pipeline.telemetry.link_files import links_folder, packed_links
from pipeline.telemetry.prometheus import render
from pipeline.telemetry.recorder import telemetry_directory
from pipeline.telemetry.sla import SLAResult, told_thresholds
from pipeline.telemetry.source import OwnEvents
from pipeline.telemetry.stream import Hub, Wish
from pipeline.telemetry.view import build_snapshot, sla_state

logger = logging.getLogger(__name__)

LATENCIES_EVERY_NS = 1 * NS_PER_S
"""How often a brief stream has latencies."""
LATE_NS = 5 * NS_PER_S
"""Not drained for this long: /healthz says so."""
LEAVE_S = 2
"""Open connections get this long when the collector leaves."""


_ALL = Wish()


class CollectorPages:
    """What the exporter shows of a collector. A snapshot is built once between two drains."""

    def __init__(self, collector: Collector, links: Path) -> None:
        """`links`: the folder in which workers tell of theirs."""
        self._collector = collector
        self._links = links
        self.lock: contextlib.AbstractContextManager[object] = threading.RLock()
        """Held by whoever reads or drains the collector."""
        self._clock = SystemClock()
        self._drained_ns = self._clock.monotonic_ns()
        self._snapshots: dict[Wish, bytes] = {}

    def drained(self) -> None:
        """Something may have changed."""
        self._drained_ns = self._clock.monotonic_ns()
        self._snapshots.clear()

    def metrics(self) -> bytes:
        with self.lock:
            return render(self._collector, self._clock.monotonic_ns())

    def snapshot(self, wish: Wish = _ALL) -> bytes:
        with self.lock:
            if wish not in self._snapshots:
                now_ns, wall_us = self._clock.monotonic_ns(), self._clock.wall_us()
                self._snapshots[wish] = encode_snapshot(
                    build_snapshot(
                        self._collector, now_ns, wall_us, wish.sketches, brief=wish.brief,
                        events=wish.events, counts_s=wish.counts_s,
                    )
                )  # fmt: skip
            return self._snapshots[wish]

    def links(self) -> bytes:
        return packed_links(self._links)

    def health(self) -> tuple[bool, bytes]:
        silent_ns = self._clock.monotonic_ns() - self._drained_ns
        facts = {"rings": len(self._collector.sources), "drained_ms_ago": silent_ns / NS_PER_MS}
        return silent_ns < LATE_NS, msgspec.json.encode(facts)


def run_collector(config: Config, stop: StopFlag, ready: Callable[[], None] = lambda: None) -> int:
    """Drain and serve until `stop` is set, drain once more, leave no file behind. Returns 0.

    `ready` is called once the port is open. Installs no signal handlers. Raises MissingError when the
    directory or the port cannot be had, or another collector drains this directory: at the beginning, or
    since somebody removed it.
    """
    lock = CollectorLock(telemetry_directory(config))
    try:
        with _listen(config.telemetry.host, config.telemetry.port) as listener:
            collector = _collector(lock, config)
            try:
                asyncio.run(_serve(collector, links_folder(config), listener, stop, ready))
            finally:
                collector.close()
                if lock.is_held():
                    remove_flights(lock.path.parent)
    finally:
        lock.release()
    return 0


def _collector(lock: CollectorLock, config: Config) -> Collector:
    own_events, told = OwnEvents(), config.telemetry.sla
    if unknown := sorted(told.keys() - EventID.__members__.keys()):
        logger.warning("telemetry.sla: judged once some process registers them: %s", ", ".join(unknown))
    thresholds = told_thresholds(told, own_events.id_of)
    return Collector(lock.path.parent, thresholds=thresholds, own_events=own_events, renew_lock=lock.renew)


class _Server(PatientServer):
    """Tells when it serves."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


class _Feed:
    """Tells the stream's clients what each drain brought."""

    def __init__(self, pages: CollectorPages, hub: Hub, loop: asyncio.AbstractEventLoop) -> None:
        self._pages = pages
        self._hub = hub
        self._loop = loop
        self._told: dict[Wish, int] = {}
        """When each was told last: the number of the step."""
        self._told_latencies: dict[Wish, int] = {}

    def drained(self, breaches: list[SLAResult]) -> None:
        """On the draining thread."""
        self._pages.drained()
        if not self._hub:
            return
        for breach in breaches:
            self._give(breach=msgspec.json.encode(sla_state(breach)))
        step = SystemClock().monotonic_ns() // TICK_NS
        wishes = self._hub.wishes()
        for told in (self._told, self._told_latencies):
            for gone in told.keys() - wishes:
                del told[gone]
        for wish in wishes:
            if breaches or step - self._told.get(wish, 0) >= wish.every_ms * NS_PER_MS // TICK_NS:
                self._told[wish] = step
                self._give(snapshot=self._wished(wish, step), wish=wish)

    def _wished(self, wish: Wish, step: int) -> bytes:
        if wish.brief and not (
            wish.events and step - self._told_latencies.get(wish, 0) >= LATENCIES_EVERY_NS // TICK_NS
        ):
            return self._pages.snapshot(wish)
        self._told_latencies[wish] = step
        return self._pages.snapshot(wish._replace(brief=False))

    def _give(
        self, *, snapshot: bytes | None = None, breach: bytes | None = None, wish: Wish | None = None
    ) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            self._loop.call_soon_threadsafe(
                lambda: self._hub.give(snapshot=snapshot, breach=breach, wish=wish)
            )


async def _serve(
    collector: Collector, links: Path, listener: socket.socket, stop: StopFlag, ready: Callable[[], None]
) -> None:
    pages, hub = CollectorPages(collector, links), Hub()
    leave, loop = asyncio.Event(), asyncio.get_running_loop()
    settings = uvicorn.Config(
        Exporter(pages, hub),
        interface="asgi3",
        proxy_headers=False,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=LEAVE_S,
    )
    server = _Server(settings, ready)
    gc.collect()
    gc.freeze()  # what is there now stays: no collection looks through it again
    draining = Draining(
        collector, stop, _Feed(pages, hub, loop).drained, lambda: _tell(loop, leave), lock=pages.lock
    )
    try:
        with draining:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            leaving = asyncio.create_task(leave.wait())
            await asyncio.wait((serving, leaving), return_when=asyncio.FIRST_COMPLETED)
            leave.set()
            hub.close()
            server.should_exit = True
            await serving
    finally:
        gc.unfreeze()
    collector.tick(final=True)


def _tell(loop: asyncio.AbstractEventLoop, leave: asyncio.Event) -> None:
    loop.call_soon_threadsafe(leave.set)


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
