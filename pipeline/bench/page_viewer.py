"""One viewer of the live page, as a browser that opened it: its stream and its feed, read and counted."""

from __future__ import annotations

import contextlib
import http.client
import threading

import msgspec
from msgspec import Struct
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from pipeline import limits
from pipeline.errors import RinglineError
from pipeline.web.view import HAPPENED, Point

ROWS = 60
HEARTBEAT_MS = 1000
DELAY_MS = 500
TIMEOUT_S = 10


class Points:
    """Every point must come once, in order: what does not is counted."""

    def __init__(self) -> None:
        self.seen = 0
        self.missed = 0
        self.doubled = 0

    def take(self, numbers: list[int]) -> None:
        """Numbers as they came. Only a past that is as long as a past can be may begin later than with 1."""
        if not self.seen and len(numbers) >= limits.PAGE_POINTS:
            self.seen = numbers[0] - 1
        for number in numbers:
            self.missed += max(0, number - self.seen - 1)
            self.doubled += number <= self.seen
            self.seen = max(self.seen, number)


class Viewer:
    """`frames`, `messages` of the feed and `bytes` of both are counted until `close`. Raises RinglineError
    and OSError when the page's server does not serve it."""

    def __init__(self, host: str, port: int) -> None:
        self.frames = self.messages = self.bytes = 0
        self.points = Points()
        self._open = contextlib.ExitStack()
        self._address = (host, port)
        self._connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        self._connection.request("GET", "/v1/live?after=:0")
        self._answer = self._connection.getresponse()
        if self._answer.status != 200:
            raise RinglineError(f"GET /v1/live: {self._answer.status}")
        head = msgspec.json.decode(self._get("/v1/head"), type=_Head)
        self._get(f"/v1/rows?order=desc&limit={ROWS}{HAPPENED}")
        url = f"ws://{host}:{port}/v1/feed?from={head.seq + 1}&heartbeat_ms={HEARTBEAT_MS}"
        url += f"&delay_ms={DELAY_MS}{HAPPENED}"
        try:
            self._feed = self._open.enter_context(
                connect(url, compression=None, max_size=16 * limits.MIB, open_timeout=TIMEOUT_S, proxy=None)
            )
        except WebSocketException as error:
            raise RinglineError(f"/v1/feed: {error}") from None
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._live, self._rows)]
        for thread in self._threads:
            thread.start()

    def _get(self, path: str) -> bytes:
        with contextlib.closing(http.client.HTTPConnection(*self._address, timeout=TIMEOUT_S)) as asked:
            asked.request("GET", path)
            answer = asked.getresponse()
            body = answer.read()
        if answer.status != 200:
            raise RinglineError(f"GET {path}: {answer.status}")
        self.bytes += len(body)
        return body

    def _live(self) -> None:
        name = b""
        with contextlib.suppress(OSError, ValueError, AttributeError, http.client.HTTPException):
            while line := self._answer.readline():
                self.bytes += len(line)
                if line.startswith(b"event: "):
                    name = line[7:].strip()
                    self.frames += name == b"frame"
                elif name == b"points" and line.startswith(b"data: "):
                    told = msgspec.json.decode(line[6:], type=list[Point])
                    self.points.take([point.number for point in told])

    def _rows(self) -> None:
        with contextlib.suppress(OSError, WebSocketException):
            for message in self._feed:
                self.bytes += len(message)
                self.messages += 1

    def close(self) -> None:
        sock = self._connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(2)
        self._open.close()
        for thread in self._threads:
            thread.join(5)
        self._connection.close()


class _Head(Struct):
    seq: int
