"""The valuation's process: takes marks from the feed, values, records, serves."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from pipeline import limits, valuation_limits
from pipeline.clock import NS_PER_S
from pipeline.config import Config
from pipeline.connection import local_address
from pipeline.errors import MissingError, RinglineError
from pipeline.stages.context import REPORT_EVERY_NS, Context, Stop
from pipeline.stages.feed.access import Access
from pipeline.stages.gateway.server import bind, raise_file_limit
from pipeline.stages.quiet_server import QuietServer, quiet_config
from pipeline.stages.story import utc
from pipeline.stages.valuation.desk import Desk
from pipeline.stages.valuation.guard import Guard
from pipeline.stages.valuation.keeper import Keeper
from pipeline.stages.valuation.listener import Listener
from pipeline.stages.valuation.loops import NavLoop, SnapshotLoop
from pipeline.stages.valuation.wire import SnapshotOut, StatusOut
from pipeline.storage.valuation.engines import open_valuation
from pipeline.telemetry.names import register_event
from pipeline.telemetry.probes import LoopProbe

log = logging.getLogger(__name__)

NAME = "valuation"
REPORT_S = 10 * REPORT_EVERY_NS / NS_PER_S
_OTHER_FILES = 64
LEAVE_SHARE = 0.8
"""Of `supervisor.drain_s`, for the last values and the last snapshot: the rest is for answers under way."""


def run_valuation(config: Config, ready: Callable[[], None], stop: Stop) -> int:
    """The valuation until it is asked to leave. Raises MissingError when its port, a token, its engine or
    FastAPI cannot be had."""
    try:
        from pipeline.stages.valuation.app import make_app
    except ImportError as error:
        raise MissingError(f"the valuation needs {error.name}: pip install 'ringline[valuation]'") from None
    access = Access(config.valuation, os.environ, section="valuation")
    token = feed_token(config)
    bound = bind(config.valuation.host, config.valuation.port, "valuation.port")
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, valuation_limits.VALUATION_SEND_BUFFER_BYTES)
    try:
        keeper = Keeper(open_valuation(config))
        try:
            uvloop.run(_serve(config, access, token, keeper, bound, make_app, ready, stop))
        finally:
            keeper.close()
    finally:
        bound.close()
    return 0


def feed_token(config: Config) -> str:
    """What the feed is asked with; "" where it takes none. Raises MissingError when it cannot be read."""
    files = [config.valuation.feed_token_file] if config.valuation.feed_token_file else []
    for file in (*files, *config.feed.read_token_files):
        try:
            return Path(file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MissingError(f"the feed's token {file}: {reason}") from None
    return next((os.environ[name].strip() for name in config.feed.read_token_env if name in os.environ), "")


def feed_url(config: Config) -> str:
    """As a WebSocket's."""
    if config.valuation.feed_url:
        return "ws" + config.valuation.feed_url.removeprefix("http").rstrip("/")
    return f"ws://{local_address(config.feed.host)}:{config.feed.port}"


class Service:
    """Everything joined, without its server: `app` is the ASGI application, `start` begins the loops."""

    def __init__(
        self, config: Config, context: Context, access: Access, token: str, keeper: Keeper, make_app: Any
    ) -> None:
        self._config = config
        recorder = context.recorder
        self.desk = Desk(config, keeper, context.clock)
        self.navs = NavLoop(self.desk, recorder, register_event("VALUATION_NAV"))
        self.listener = Listener(self.desk, feed_url(config), token, self._reset)
        self.snapshots = SnapshotLoop(
            self.desk, lambda: self.listener.place, recorder, register_event("VALUATION_SNAPSHOT")
        )
        self.desk.own_doubt = self._own_doubt
        batch_event = register_event("VALUATION_BATCH")
        self.app = Guard(make_app(self.desk, self.status, recorder, batch_event), access)

    async def load(self) -> None:
        """What was kept before, and the users' models. Raises StoreAwayError, and ConfigError when a model
        cannot be loaded."""
        await self.desk.users_models.start()
        await self.desk.load()
        head = await self.snapshots.restore()
        self.listener.resume(head.next_row, head.last_hash, head.complete)

    async def close(self) -> None:
        """Ends what it has begun."""
        await self.desk.users_models.close()

    def loops(self) -> list[Coroutine[Any, Any, None]]:
        """To be run as tasks."""
        loops = [self.navs.run(), self.snapshots.run()]
        return [*loops, self.listener.run()] if self._config.valuation.feed else loops

    def status(self) -> StatusOut:
        at_us = self.snapshots.at_us
        return StatusOut(
            feed=self.listener.state if self._config.valuation.feed else "off",
            next_row=self.listener.next_row,
            behind=self.listener.behind,
            complete=self.listener.complete,
            marks=len(self.desk.quotes.by_symbol),
            domains=len(self.desk.books()),
            models=self.desk.quotes.models,
            left_out=dict(self.desk.users_models.left_out),
            engine=self._config.valuation.engine,
            unstored=self.navs.unstored,
            lost=self.navs.lost,
            snapshot=SnapshotOut(
                utc(at_us) if at_us else None, self.snapshots.next_row, self.snapshots.symbols
            ),
        )

    def _own_doubt(self) -> str:
        return self.listener.doubt if self._config.valuation.feed else "valuation.feed is off"

    async def _reset(self) -> None:
        """The audit is another one: what came from it goes."""
        await self.desk.marking.forget()
        self.desk.own.restore("0", ())
        self.snapshots.clear = True


def _settings(app: Any, config: Config) -> uvicorn.Config:
    return quiet_config(
        app,
        http="httptools",
        ws="none",
        limit_concurrency=config.valuation.max_connections,
        timeout_graceful_shutdown=limits.LEAVE_GRACE_S,
    )


async def _serve(
    config: Config, access: Access, token: str, keeper: Keeper, bound: Any, make_app: Any,
    ready: Callable[[], None], stop: Stop,
) -> None:  # fmt: skip
    context = Context(NAME, 0, config, name=NAME, linked=False)
    service = Service(config, context, access, token, keeper, make_app)
    try:
        await service.load()
        sys.setswitchinterval(valuation_limits.VALUATION_SWITCH_US / 1e6)
        gc.collect()
        gc.freeze()  # what was loaded stays: no collection has to walk it
        raise_file_limit(config.valuation.max_connections + _OTHER_FILES)
        await _run(config, context, service, bound, ready, stop)
    finally:
        await service.close()
        context.recorder.close()


async def _run(
    config: Config, context: Context, service: Service, bound: Any, ready: Callable[[], None], stop: Stop
) -> None:
    """Serves until it is asked to leave, and then stores what is not stored yet: no loop begins another turn
    before that, and the engine has nearly all of `supervisor.drain_s`."""
    server = QuietServer(_settings(service.app, config))
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_reader(stop.fd, stopping.set)
    probe = LoopProbe(loop, valuation_limits.VALUATION_PROBE_MS / 1000, context.recorder.record)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    tasks = [asyncio.create_task(one) for one in (*service.loops(), _report(context), stopping.wait())]
    try:
        await server.is_started.wait()
        ready()
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        loop.remove_reader(stop.fd)
        for task in ended:
            task.result()  # a loop ends by its error only
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.should_exit = True
        await serving
        probe.stop()
        await store_the_last(service, config.supervisor.drain_s * LEAVE_SHARE)


async def store_the_last(service: Service, within_s: float) -> None:
    """What waits for the engine, and what has changed since the last snapshot. Says what is not stored, and
    why."""
    why = f"{within_s:g} s were not enough"
    try:
        async with asyncio.timeout(within_s):
            await service.navs.store()
            await service.snapshots.store()
            return
    except TimeoutError:
        pass
    except RinglineError as error:
        why = str(error)
    if service.navs.unstored:
        log.error("valuation: %d values are not stored: %s", service.navs.unstored, why)
    at_us = service.snapshots.at_us
    log.error("valuation: the last snapshot is that of %s: %s", utc(at_us) if at_us else "never", why)


async def _report(context: Context) -> None:
    """CPU and memory, as every worker tells them."""
    while True:
        context.self_report.report(0)
        await asyncio.sleep(REPORT_S)
