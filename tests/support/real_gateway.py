"""A gateway on a real port with a real journal, its event loop in a thread; nothing behind it."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import uvloop

from pipeline.clock import SystemClock
from pipeline.config.schema import Config
from pipeline.delivery import Delivery
from pipeline.signing import Secret, signed_headers
from pipeline.stages.gateway.app import GatewayApp
from pipeline.stages.gateway.recording import NoRecorder
from pipeline.stages.gateway.secrets import Keys
from pipeline.stages.gateway.server import GatewayServer, bind, tls_files
from pipeline.storage.journal import Journal
from pipeline.trading.instruments import Instruments

DEADLINE_S = 20.0
SECRET = Secret(b"k" * 32, "test")
SIGNAL = b'{"type":"signal","symbol":"AAPL","side":"buy"}'


class Response:
    """An answer, as far as tests look at it."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.body = answer.read()

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def kind(self) -> str:
        """Of a problem, the last part of its type."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.document["status"] == self.status
        return str(self.document["type"]).rpartition("/")[2]


class RealGateway:
    """`with RealGateway(folder, config, keys) as gateway: gateway.post(…)`."""

    def __init__(
        self, folder: Path, config: Config | None = None, keys: dict[str, Keys] | None = None
    ) -> None:
        self.config = config or Config()
        self._keys = keys or {name: Keys(secrets=(SECRET,)) for name in self.config.sources}
        self._clock = SystemClock()
        self.journal = Journal.open(folder / "journal", self.config.journal, self._clock)
        self.dispatched: list[Delivery] = []
        self.faults: list[dict[str, Any]] = []
        """What the event loop's exception handler was told: never anything."""
        self._bound = bind("127.0.0.1", 0)
        self.address: tuple[str, int] = self._bound.getsockname()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> RealGateway:
        self._thread.start()
        assert self._up.wait(DEADLINE_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        self.journal.close()
        assert self.faults == []

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda loop, context: self.faults.append(context))
        self._stopping = asyncio.Event()
        self.app = GatewayApp(
            self.config,
            journal=self.journal,
            instruments=Instruments(self.config.trading),
            secrets=self._keys,
            dispatch=self.dispatched.extend,
            recorder=NoRecorder(),
            clock=self._clock,
        )
        self.server = GatewayServer(self.app, self._bound, 200, tls_files(self.config.gateway))
        await self.server.start()
        self._up.set()
        await self._stopping.wait()
        self.app.drain()
        await self.server.stop(within_s=5)
        await self.app.committer.close()

    # ---- asking

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Response:
        host, port = self.address
        if tls is None:
            connection = http.client.HTTPConnection(host, port, timeout=DEADLINE_S)
        else:
            connection = http.client.HTTPSConnection(host, port, timeout=DEADLINE_S, context=tls)
        try:
            connection.request(method, path, body, headers or {})
            return Response(connection.getresponse())
        finally:
            connection.close()

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> Response:
        return self.ask("POST", path, body, headers)

    def send(self, webhook_id: str, body: bytes = SIGNAL, more: dict[str, str] | None = None) -> Response:
        """A signed post to `demo`."""
        return self.post("/webhook/demo", body, signed(webhook_id, body) | (more or {}))

    def raw(self, data: bytes) -> bytes:
        """All that is answered to `data` until the connection is closed."""
        with socket.create_connection(self.address, timeout=DEADLINE_S) as stream:
            stream.sendall(data)
            return rest(stream)


def signed(webhook_id: str, body: bytes = SIGNAL, at_s: int | None = None) -> dict[str, str]:
    return signed_headers(SECRET, webhook_id, int(time.time()) if at_s is None else at_s, body)


def rest(stream: socket.socket) -> bytes:
    found = b""
    try:
        while piece := stream.recv(65536):
            found += piece
    except ConnectionResetError:
        pass  # the server had bytes of ours unread when it closed
    return found
