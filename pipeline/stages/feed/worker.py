"""The feed's process: reads the audit beside its workers and serves it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

import msgspec
import uvicorn
import uvloop
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from pipeline import limits
from pipeline.clock import NS_PER_S
from pipeline.config import Config
from pipeline.stages.context import REPORT_EVERY_NS, Context, Stop
from pipeline.stages.feed.access import Access
from pipeline.stages.feed.app import FeedApp
from pipeline.stages.feed.board import Board
from pipeline.stages.feed.collectors import collectors_of, elsewhere_of, stream_of
from pipeline.stages.feed.controls import Controls
from pipeline.stages.feed.manifest import Manifests, manifest_folder
from pipeline.stages.feed.page import PageApp
from pipeline.stages.feed.readers import Readers
from pipeline.stages.feed.tail import Render, Tail
from pipeline.stages.gateway.server import bind, raise_file_limit
from pipeline.stages.nudge import drain, listen_for_nudges, nudge_name
from pipeline.stages.quiet_server import QuietServer, quiet_config
from pipeline.stages.story import story_of, utc
from pipeline.storage.audit.engines import open_reader
from pipeline.storage.audit.rows import AuditRow
from pipeline.trading.instruments import Instruments
from pipeline.web.viewers import Viewers

log = logging.getLogger(__name__)

NAME = "feed"
REPORT_S = 10 * REPORT_EVERY_NS / NS_PER_S
PING_S = 20
_OTHER_FILES = 128
_encode = msgspec.json.Encoder().encode


def run_feed(config: Config, ready: Callable[[], None], stop: Stop) -> int:
    """The feed until it is asked to leave. Raises MissingError when its port or a token cannot be had."""
    access = Access(config.feed, os.environ)
    bound = bind(config.feed.host, config.feed.port, "feed.port")
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.FEED_SEND_BUFFER_BYTES)
    try:
        uvloop.run(_serve(config, access, bound, ready, stop))
    finally:
        bound.close()
    return 0


def renderer(config: Config) -> Render:
    """Rows as JSON, with amounts in the decimals of `config`'s instruments.

    A row that this version cannot read is told as far as it can: it must not end the feed for the others.
    """
    instruments = Instruments(config.trading)

    def render(row: AuditRow) -> str:
        try:
            return _encode(story_of(row, instruments)).decode()
        except (msgspec.MsgspecError, ValueError, KeyError) as error:
            return _encode(_unreadable(row, error)).decode()

    return render


def _unreadable(row: AuditRow, error: Exception) -> dict[str, object]:
    delivery = row.delivery
    return {
        "seq": row.seq,
        "key": delivery.key,
        "key_seq": delivery.key_seq,
        "event_id": delivery.event_id.hex(),
        "source": delivery.source,
        "webhook_id": delivery.webhook_id,
        "accepted": utc(delivery.accepted_us),
        "outcome": delivery.outcome,
        "chain_hash": row.h.hex(),
        "unreadable": f"{type(error).__name__}: {error}",
    }


class _Protocol(WebSocketsSansIOProtocol):
    """Lets the application cut a connection on which nothing can be sent any more.

    A handshake that was refused by HTTP is complete: uvicorn would log an error after each one.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, "abort": self._abort}, _loop)

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

    def _abort(self) -> None:
        self.transport.abort()


def _settings(app: Any, config: Config) -> uvicorn.Config:
    return quiet_config(
        app,
        http="httptools",
        ws=_Protocol,
        ws_max_size=limits.MAX_FEED_MESSAGE_BYTES,
        ws_ping_interval=PING_S,
        ws_ping_timeout=max(PING_S, config.feed.stall_s),
        ws_per_message_deflate=False,
        limit_concurrency=config.feed.max_connections,
        timeout_graceful_shutdown=limits.LEAVE_GRACE_S,
    )


async def _serve(
    config: Config, access: Access, bound: socket.socket, ready: Callable[[], None], stop: Stop
) -> None:
    context = Context(NAME, 0, config, name=NAME, linked=False)
    readers = Readers(lambda: open_reader(config))
    render = renderer(config)
    ear = _Ear(nudge_name(config))
    tail = Tail(readers, render, config.feed.poll_ms / 1000, ear.listen)
    ear.nudged = tail.nudged
    manifests = Manifests(manifest_folder(config.data_dir))
    app = FeedApp(config.feed, access, readers, tail, manifests, render, context.clock)
    raise_file_limit(config.feed.max_connections + _OTHER_FILES)
    viewers, collector = Viewers(), collectors_of(config)
    page = PageApp(app, access, viewers, Controls(config, context.clock), config.feed.page_ms)
    server = QuietServer(_settings(page if config.feed.page else app, config))
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_reader(stop.fd, stopping.set)
    tasks = [
        asyncio.create_task(tail.run()),
        asyncio.create_task(_report(context, lambda: max(app.clients, len(viewers)))),
        asyncio.create_task(server.serve(sockets=[bound])),
    ]
    if config.feed.page:
        away = elsewhere_of(config, collector)
        board = Board(config, readers, viewers, context.clock, collector.told, stream_of(config), away)
        tasks.insert(0, asyncio.create_task(board.run()))
    try:
        await server.is_started.wait()
        ready()
        await stopping.wait()
        loop.remove_reader(stop.fd)
        viewers.close()
        await app.leave(config.supervisor.drain_s / 2)
        server.should_exit = True
        await tasks.pop()
    finally:
        ear.close()
        for task in tasks:
            task.cancel()
        await asyncio.to_thread(readers.close)
        collector.close()
        context.recorder.close()


class _Ear:
    """Hears nudges while there are clients. Without any, nudges find a full box, at no cost here."""

    def __init__(self, name: bytes) -> None:
        self._heard = listen_for_nudges(name)
        self.nudged = asyncio.Event()

    def listen(self, listening: bool) -> None:
        if self._heard is None:
            return
        loop = asyncio.get_running_loop()
        if listening:
            loop.add_reader(self._heard, self._hear, self._heard)
        else:
            loop.remove_reader(self._heard)

    def close(self) -> None:
        if self._heard is not None:
            self.listen(False)
            self._heard.close()

    def _hear(self, heard: socket.socket) -> None:
        drain(heard)
        self.nudged.set()


async def _report(context: Context, clients: Callable[[], int]) -> None:
    """CPU, memory and clients, as every worker tells them. The page is one of its stream and of its rows."""
    while True:
        context.self_report.report(clients())
        await asyncio.sleep(REPORT_S)
