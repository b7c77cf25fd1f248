"""uvicorn's httptools protocol with the bounds that it lacks: headers, pipelining, connections, slow senders.

Everything refused here is refused as a problem, like everything else. After an answer to an earlier
request of the same connection, never before it: the sender would take it for that one's.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from pipeline import limits
from pipeline.stages.gateway.answer import CLOSE, Answer
from pipeline.stages.gateway.app import GatewayApp
from pipeline.stages.gateway.exchange import Exchange, Heads
from pipeline.stages.gateway.native import native
from pipeline.stages.gateway.problem import Problem, problem

_MALFORMED = problem(Problem.MALFORMED_REQUEST, "what was received is no HTTP/1.1 request").closing()
_HEADERS = problem(
    Problem.HEADERS_TOO_LARGE,
    f"the limit is {limits.MAX_HEADERS} headers of {limits.MAX_HEADER_BYTES} bytes together",
).closing()
_SLOW = problem(
    Problem.REQUEST_TIMEOUT, f"not complete after {limits.REQUEST_READ_S} s, which is the limit"
).closing()


_FAULT = Answer(500, b"Internal Server Error", [(b"content-type", b"text/plain; charset=utf-8"), CLOSE])


class _ExcessError(Exception):
    """Raised inside a parser callback to stop the parser: too much, or against a rule it does not know."""


class _Transport:
    """A transport that sends each response in one piece, and may be written to after its end.

    uvicorn writes head and body apart: two system calls and often two packets. uvloop raises once the peer
    has reset the connection, before it tells anybody that it has; an answer that nobody waits for any more is
    no error.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] = []
        self.abort = transport.abort
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        self._held.append(data)
        if data.startswith(b"HTTP/1.1 100 "):
            self.flush()

    def flush(self) -> None:
        """The response is complete."""
        data = b"".join(self._held)
        self._held.clear()
        if data and not self.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        self.flush()
        self._transport.close()


class GatewayProtocol(HttpToolsProtocol):
    """One connection. `max_connections` and `heads` are set on a subclass by the server."""

    max_connections: int
    heads: Heads

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.gateway = cast(GatewayApp, config.loaded_app)
        self._opens = getattr(self.gateway, "opened", None)
        self._whole = native.request if self._opens is not None else None
        self._partial = False
        """The parser is amid a request."""
        self._opened: Any = None
        """What the application made of a head whose body is being read; None where uvicorn's cycle has it."""
        self._body = b""
        self._idle_since_s = 0.0
        """When the last answer was given; 0.0 before the first and while a request is being read."""
        self._reading_since_s = self.loop.time()
        """When the request being read began; 0.0 between requests."""
        self._in_head = False
        self._head_pieces_bytes = 0
        self._measuring = False
        """Whether a head may have more bytes than are allowed."""
        self.url = b""
        self._ending = False
        """Something was wrong behind a good request: its answer is the last one."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        held = _Transport(transport)
        self._raw = transport
        self._flush = held.flush
        super().connection_made(held)  # type: ignore[arg-type]
        excess = len(self.connections) - self.max_connections
        if excess > 0:
            self.gateway.counters.connections_refused += 1
            self.app, self._opens, self._whole = self.gateway.crowded, None, None
        if excess > limits.SPARE_CONNECTIONS:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._ending or (self._whole is not None and self._taken_whole(data)):
            return
        self._idle_since_s = 0.0
        began_in_head = self._in_head
        # No head that lies in this piece alone can be too large when the piece is not.
        self._measuring = began_in_head or len(data) > limits.MAX_HEADER_BYTES
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._whole = None  # what comes now is the parser's to judge
            return  # answered as the plain HTTP request that it also is
        except httptools.HttpParserError:
            self._by_cycle()
            self._refuse(_HEADERS if self._too_large() else _MALFORMED)
            return
        if self._opened is not None:
            self._by_cycle()  # its body comes in pieces
        if self._in_head:
            self._look_at_head(len(data) if began_in_head else 0)

    def _taken_whole(self, data: bytes) -> bool:
        """Whether these bytes are one usual request, from its first to its last; then it is taken."""
        assert self._whole is not None
        if self._partial or len(data) > limits.MAX_HEADER_BYTES or not self._unoccupied:
            return False
        found = self._whole(data, limits.MAX_HEADERS)
        if found is None:
            return False
        path, named, body = found
        if b"host" not in named:
            return False  # the parser's way refuses it
        opened = self.gateway.addressed(path, named, len(body))
        if opened is None:
            return False
        self._idle_since_s = self._reading_since_s = 0.0
        self._exchange(opened, body)
        return True

    @property
    def _unoccupied(self) -> bool:
        """Everything asked before is answered, and the answers are taken: who does not read them must not
        have more of them written than a cycle would, which waits."""
        return (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    def _look_at_head(self, bytes_more: int) -> None:
        """A head that is not complete yet. A single header can come in any number of pieces, and is no
        callback before it is complete; `bytes_more` of such have come."""
        self._head_pieces_bytes += bytes_more
        if self._head_pieces_bytes > 2 * limits.MAX_HEADER_BYTES or self._too_large():
            self._refuse(_HEADERS)

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self._reading_since_s = self.loop.time()
        self._in_head = self._partial = True
        self._head_pieces_bytes = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))
        if not self._in_head and self._too_large():  # behind the body, where nobody counts at the end
            raise _ExcessError

    def on_headers_complete(self) -> None:
        self._in_head = False
        if not self._named_by_rule():
            raise _ExcessError
        if len(self.headers) > limits.MAX_HEADERS or (self._measuring and self._too_large()):
            raise _ExcessError
        if len(self.pipeline) >= limits.MAX_PIPELINED:
            raise _ExcessError
        if self._opens is not None and self._unoccupied:
            parser = self.parser
            if (
                parser.get_method() == b"POST"
                and parser.get_http_version() == "1.1"
                and parser.should_keep_alive()
                and not parser.should_upgrade()
            ):
                self._opened = self._opens(self.url, self.headers)
        if self._opened is None:
            self._begin_cycle()

    def _named_by_rule(self) -> bool:
        """Whether version and Host are as RFC 9112 §3.2 wants them: exactly one, and HTTP/1.0 may have none.
        Readers before us that choose between two of them would differ."""
        hosts = sum([name == b"host" for name, _ in self.headers])
        version = self.parser.get_http_version()
        return (version == "1.1" and hosts == 1) or (version == "1.0" and hosts <= 1)

    def on_body(self, body: bytes) -> None:
        if self._opened is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        self._reading_since_s = 0.0
        self._partial = False
        if self._opened is not None:
            opened, body = self._opened, self._body
            self._opened, self._body = None, b""
            self._exchange(opened, body)
            return
        super().on_message_complete()
        self.cycle.more_body = False  # uvicorn leaves it where the answer came before the body's end

    def answered(self, data: bytes, *, last: bool) -> None:
        """An exchange has its answer."""
        raw = self._raw
        if not raw.is_closing():
            raw.write(data)
            if last:
                raw.close()
        if last or self.pipeline or self._ending or self.flow.read_paused:
            self.on_response_complete()
            return
        self.server_state.total_requests += 1
        self._idle_since_s = self.loop.time()

    def on_response_complete(self) -> None:
        self._flush()
        if self.pipeline:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if self._raw.is_closing():
            return
        self._idle_since_s = self.loop.time()
        self.flow.resume_reading()
        if self._ending:
            self.transport.close()

    def _exchange(self, opened: Any, body: bytes) -> None:
        """The request is complete, and the application takes it as it is."""
        exchange = self.cycle = Exchange(self, self.heads)  # type: ignore[assignment]
        try:
            self.gateway.posted(exchange, opened, body)
        except Exception as error:
            self.logger.error("Exception in the application", exc_info=error)
            if not exchange.response_started:
                exchange.reply(_FAULT)

    def _by_cycle(self) -> None:
        """The request goes uvicorn's way after all, with what there is of its body."""
        if self._opened is None:
            return
        body = self._body
        self._opened, self._body = None, b""
        self._begin_cycle()
        if body:
            super().on_body(body)

    def _begin_cycle(self) -> None:
        """The request goes uvicorn's way: a scope, a cycle and a task for it."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.headers += headers  # the scope holds this list
        self.expect_100_continue = any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in headers
        )
        super().on_headers_complete()

    def expire(self, now_s: float) -> None:
        """Ends the connection if its request has been arriving for too long."""
        idle_s = self._idle_since_s
        if idle_s and now_s - idle_s > limits.KEEP_ALIVE_S:
            self.transport.close()
        began_s = self._reading_since_s
        if began_s and now_s - began_s > limits.REQUEST_READ_S and not self._ending:
            self._refuse(_SLOW)

    def _too_large(self) -> bool:
        headers = self.headers or ()
        if len(headers) > limits.MAX_HEADERS:
            return True
        head_bytes = len(self.url) + sum([len(name) + len(value) for name, value in headers])
        return head_bytes > limits.MAX_HEADER_BYTES

    def _refuse(self, answer: Answer) -> None:
        """The end of this connection, told to its sender where that can be understood."""
        self._ending = True
        if self.pipeline and self.pipeline[0][0].more_body:
            self.pipeline.popleft()
        cycle = self.cycle
        if self.pipeline or (cycle and not cycle.more_body and not cycle.response_complete):
            self.flow.pause_reading()
            return
        begun = cycle is not None and cycle.more_body and cycle.response_started
        if not begun and self.headers is not None:
            self.gateway.counters.requests[answer.status] += 1
            self.transport.write(answer.raw())
        self.transport.close()
