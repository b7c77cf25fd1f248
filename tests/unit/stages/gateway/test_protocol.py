"""Which requests go straight to the application, and what keeps those bounded that do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from pipeline import limits
from pipeline.stages.gateway.answer import Answer
from pipeline.stages.gateway.app import GatewayApp
from pipeline.stages.gateway.counters import Counters
from pipeline.stages.gateway.exchange import Exchange
from pipeline.stages.gateway.protocol import GatewayProtocol
from pipeline.stages.gateway.server import GatewayServer, bind

REQUEST = b"POST /webhook/demo HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody"
CHUNKED = b"POST /webhook/demo HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n"


class Line(asyncio.Transport):
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class Straight:
    """An application that keeps what comes straight to it; what comes by ASGI it never answers."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.taken: list[tuple[Exchange, bytes]] = []
        self.scopes: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        await asyncio.Event().wait()

    crowded = __call__

    def opened(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> Any:
        usual = url == b"/webhook/demo" and b"transfer-encoding" not in dict(headers)
        return dict(headers) if usual else None

    def addressed(self, url: bytes, named: dict[bytes, bytes], body_bytes: int) -> Any:
        return self.opened(url, list(named.items()))

    def posted(self, exchange: Exchange, opened: Any, body: bytes) -> None:
        assert opened[b"host"] == b"h"
        self.taken.append((exchange, body))
        if body == b"oops":
            raise ZeroDivisionError


def told(story: Callable[[Straight, GatewayProtocol, Line], Any], *, in_c: bool = True) -> None:
    async def whole() -> None:
        app = Straight()
        server = GatewayServer(cast("GatewayApp", app), bind("127.0.0.1", 0), 10)
        config = server._config
        protocol = cast("Any", config.http)(config, server._server.server_state, {})
        if not in_c:
            protocol._whole = None
        line = Line()
        protocol.connection_made(line)
        try:
            await story(app, protocol, line)
        finally:
            protocol.connection_lost(None)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await server.stop()

    asyncio.run(whole())


@pytest.mark.parametrize("in_c", [True, False])
def test_a_request_in_one_piece_goes_straight_and_the_next_after_its_answer(in_c: bool) -> None:
    async def story(app: Straight, protocol: GatewayProtocol, line: Line) -> None:
        for _ in range(2):
            protocol.data_received(REQUEST)
            exchange, body = app.taken[-1]
            assert body == b"body"
            assert line.written == []
            exchange.reply(Answer(202, b"{}"))
            assert line.written.pop().startswith(b"HTTP/1.1 202 Accepted\r\n")
        assert (len(app.taken), app.scopes) == (2, [])

    told(story, in_c=in_c)


@pytest.mark.parametrize("in_c", [True, False])
def test_a_request_behind_an_unanswered_one_waits_for_its_turn(in_c: bool) -> None:
    async def story(app: Straight, protocol: GatewayProtocol, line: Line) -> None:
        protocol.data_received(REQUEST)
        protocol.data_received(REQUEST)
        await asyncio.sleep(0)
        assert (len(app.taken), app.scopes) == (1, [])
        app.taken[0][0].reply(Answer(202, b"{}"))
        await asyncio.sleep(0)
        assert (len(app.taken), len(app.scopes), len(line.written)) == (1, 1, 1)

    told(story, in_c=in_c)


def test_a_body_in_pieces_goes_by_a_cycle_with_what_there_is_of_it() -> None:
    async def story(app: Straight, protocol: GatewayProtocol, line: Line) -> None:
        protocol.data_received(REQUEST[:-2])
        await asyncio.sleep(0)
        assert (app.taken, len(app.scopes)) == ([], 1)
        assert app.scopes[0]["headers"] == [(b"host", b"h"), (b"content-length", b"4")]
        assert isinstance(protocol.cycle, RequestResponseCycle)
        protocol.data_received(REQUEST[-2:])
        assert bytes(protocol.cycle.body) == b"body"
        assert not protocol.cycle.more_body

    told(story)


@pytest.mark.parametrize("in_c", [True, False])
def test_who_reads_no_answers_gets_no_more_of_them(in_c: bool) -> None:
    async def story(app: Straight, protocol: GatewayProtocol, line: Line) -> None:
        protocol.pause_writing()
        protocol.data_received(REQUEST)
        await asyncio.sleep(0)
        assert (app.taken, len(app.scopes)) == ([], 1)

    told(story, in_c=in_c)


@pytest.mark.parametrize("in_c", [True, False])
def test_an_application_that_fails_is_a_500_and_the_end_of_the_connection(in_c: bool) -> None:
    async def story(app: Straight, protocol: GatewayProtocol, line: Line) -> None:
        protocol.logger = cast("Any", type("Deaf", (), {"error": lambda *_, **__: None, "level": 99})())
        protocol.data_received(REQUEST.replace(b"body", b"oops"))
        (data,) = line.written
        assert data.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert b"\r\nconnection: close\r\n" in data
        assert line.closed

    told(story, in_c=in_c)


def test_an_idle_connection_is_closed_in_the_end_and_a_busy_one_is_not() -> None:
    async def story(app: Straight, protocol: GatewayProtocol, line: Line) -> None:
        later_s = protocol.loop.time() + limits.KEEP_ALIVE_S + 1
        protocol.data_received(REQUEST)
        protocol.expire(later_s)
        assert not line.closed
        app.taken[0][0].reply(Answer(202, b"{}"))
        protocol.expire(protocol.loop.time())
        assert not line.closed
        protocol.expire(later_s)
        assert line.closed

    told(story)


def test_a_server_that_leaves_ends_the_connection_with_the_answer() -> None:
    async def story(app: Straight, protocol: GatewayProtocol, line: Line) -> None:
        protocol.data_received(REQUEST)
        protocol.shutdown()
        assert not line.closed
        app.taken[0][0].reply(Answer(202, b"{}"))
        assert b"\r\nconnection: close\r\n" in line.written[0]
        assert line.closed

    told(story)


def test_trailers_are_bounded_as_headers_are() -> None:
    async def story(app: Straight, protocol: GatewayProtocol, line: Line) -> None:
        protocol.data_received(CHUNKED)
        for number in range(limits.MAX_HEADERS + 1):
            protocol.data_received(b"x-%d: y\r\n" % number)
        assert len(protocol.headers) <= limits.MAX_HEADERS + 1
        assert protocol._ending

    told(story)


def test_after_an_upgrade_was_asked_for_the_parser_alone_judges() -> None:
    async def story(app: Straight, protocol: GatewayProtocol, line: Line) -> None:
        protocol.data_received(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
        assert protocol._whole is None

    told(story)
