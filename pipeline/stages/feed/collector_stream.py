"""One collector's snapshots by one lasting stream (server-sent events): no request a frame, and no thread."""

from __future__ import annotations

import asyncio
import http.client
from collections import deque
from urllib.parse import urlencode

import httptools
import msgspec

from pipeline import limits
from pipeline.connection import connect, no_answer
from pipeline.errors import MissingError
from pipeline.golden_steps import STEPS
from pipeline.snapshot import Snapshot, decode_snapshot
from pipeline.web.frame import WINDOW_S

ANSWER_S = 2.0
"""A collector answers in milliseconds."""
EVENTS = ",".join(event for _, event, _ in STEPS)
"""What the page has latencies of."""
_SNAPSHOT = b"event: snapshot\ndata: "
_END = b"\n\n"


class CollectorStream:
    """Opened by the first `next`, and again after a fault. Belongs to one task."""

    def __init__(self, url: str, every_ms: int) -> None:
        """`every_ms` lie between two snapshots, of which one a second has latencies."""
        connection, parts = connect(url, ANSWER_S)
        self._name = f"collector {url}"
        self._host, self._port = connection.host, connection.port
        self._tls = isinstance(connection, http.client.HTTPSConnection)
        query = urlencode(
            {"brief": 1, "events": EVENTS, "counts": f"{WINDOW_S:g}", "every_ms": every_ms}, safe=","
        )
        self._request = (
            f"GET {parts.path.rstrip('/')}/v1/stream?{query} HTTP/1.1\r\n"
            f"Host: {parts.netloc.rpartition('@')[2]}\r\nAccept: text/event-stream\r\n\r\n"
        ).encode()
        self._patience_s = ANSWER_S + every_ms / 1000
        self._told: _Told | None = None

    async def next(self) -> Snapshot:
        """The next one. Raises MissingError when there is none to be had."""
        try:
            async with asyncio.timeout(self._patience_s):
                if self._told is None:
                    self._told = await self._open()
                return await self._told.next()
        except TimeoutError:
            fault = f"{self._name}: no answer in {self._patience_s:g} s"
        except OSError as error:
            fault = no_answer(self._name, error)
        except _NoStreamError as error:
            fault = f"{self._name}: {error}"
        self.close()
        raise MissingError(fault)

    def close(self) -> None:
        if self._told is not None:
            self._told.close()
            self._told = None

    async def _open(self) -> _Told:
        loop = asyncio.get_running_loop()
        transport, told = await loop.create_connection(_Told, self._host, self._port, ssl=self._tls or None)
        transport.write(self._request)
        return told


class _NoStreamError(Exception):
    """What came is no stream of snapshots, or its end."""


class _Told(asyncio.Protocol):
    """What comes, until it is taken: the newest, and before it those with latencies."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.BaseTransport | None = None
        self._buffer = b""
        self._news: deque[Snapshot] = deque(maxlen=3)
        self._fault: Exception | None = None
        self._wake = asyncio.Event()

    async def next(self) -> Snapshot:
        while not self._news:
            if self._fault is not None:
                raise self._fault
            self._wake.clear()
            await self._wake.wait()
        return self._news.popleft()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # ---- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(_NoStreamError(f"no HTTP: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error if isinstance(error, OSError) else _NoStreamError("its stream has ended"))

    # ---- what the parser calls

    def on_headers_complete(self) -> None:
        if (status := self._parser.get_status_code()) != 200:
            self._fail(_NoStreamError(f"answered {status}"))

    def on_body(self, body: bytes) -> None:
        if self._fault is not None:
            return
        self._buffer += body
        if _END in body or _END in self._buffer[-len(body) - 1 :]:
            *blocks, self._buffer = self._buffer.split(_END)
            for block in blocks:
                if block.startswith(_SNAPSHOT):
                    self._take(block[len(_SNAPSHOT) :])
        if len(self._buffer) > limits.MAX_SNAPSHOT_BYTES:
            self._fail(_NoStreamError(f"a snapshot beyond {limits.MAX_SNAPSHOT_BYTES} bytes"))

    def on_message_complete(self) -> None:
        self._fail(_NoStreamError("its stream has ended"))

    def _take(self, data: bytes) -> None:
        try:
            snapshot = decode_snapshot(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._fail(_NoStreamError(f"no snapshot: {error}"))
            return
        if self._news and self._news[-1].brief:
            self._news.pop()
        self._news.append(snapshot)
        self._wake.set()

    def _fail(self, error: Exception) -> None:
        """The first fault is told, after what came before it."""
        if self._fault is None:
            self._fault = error
            self._wake.set()
            self.close()
