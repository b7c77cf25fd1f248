"""A gateway that only answers: for tests, and as the limit that a client's own speed is measured beside.

Public, as every fake here. It keeps what it accepted in memory, in order of arrival, and may be scripted to
refuse, to close, or to say nothing.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import httptools
import msgspec
import uvloop
from msgspec import Struct

from pipeline.errors import EXIT_OK


class Request(Struct, frozen=True):
    """One request as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        return self.headers.get("webhook-id", "")


class Answer(Struct, frozen=True):
    """What to answer; status 0 closes the connection without an answer, after accepting if `accept`."""

    status: int = 202
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"{}"
    accept: bool = True
    silent: bool = False


ACCEPT = Answer()
Script = Callable[[Request, int], Answer]
"""(request, how often this webhook-id was seen before) → the answer."""


class FakeGateway:
    """Start it on a port of 127.0.0.1 (0: any free one, then in `port`)."""

    def __init__(self, script: Script | None = None, *, keep: bool = True) -> None:
        self.script = script
        self.accepted: list[Request] = []
        self.requests = 0
        self.connections = 0
        self.port = 0
        self._keep = keep
        self._seen: dict[str, int] = {}
        self._known: set[str] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def answer(self, request: Request) -> Answer:
        self.requests += 1
        if self.script is None and not self._keep:
            return ACCEPT
        before = self._seen.get(request.webhook_id, 0)
        self._seen[request.webhook_id] = before + 1
        answer = self.script(request, before) if self.script is not None else ACCEPT
        if answer.status == ACCEPT.status and request.webhook_id in self._known:
            return msgspec.structs.replace(answer, headers=(("idempotent-replayed", "true"),))
        if answer.accept and answer.status in (0, ACCEPT.status):
            self._known.add(request.webhook_id)
            self.accepted.append(request)
        return answer


class _Connection(asyncio.Protocol):
    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway
        self._headers: dict[str, str] = {}
        self._path = ""
        self._body = b""
        self._transport: Any = None
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._gateway.connections += 1
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._headers = {}
        self._body = b""

    def on_url(self, url: bytes) -> None:
        self._path = url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        answer = self._gateway.answer(Request(self._path, self._headers, self._body))
        if answer.silent:
            return
        if answer.status == 0:
            self._transport.close()
            return
        lines = [f"HTTP/1.1 {answer.status} Status", f"content-length: {len(answer.body)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        self._transport.write("\r\n".join([*lines, "", ""]).encode() + answer.body)
        if ("connection", "close") in answer.headers:
            self._transport.close()


async def _serve() -> None:
    """Accepts everything, keeps nothing, says its port on stdout and ends with its stdin."""
    loop = asyncio.get_running_loop()
    gateway = FakeGateway(keep=False)
    await gateway.start()
    sys.stdout.write(f"{gateway.port}\n")
    sys.stdout.flush()
    ended = loop.create_future()
    loop.add_reader(sys.stdin.fileno(), ended.set_result, None)
    await ended
    loop.remove_reader(sys.stdin.fileno())
    await gateway.close()


def main() -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
