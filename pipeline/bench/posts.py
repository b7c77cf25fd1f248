"""Posts requests that were signed beforehand, as fast as they are answered: a client that costs little.

A process of its own, so that it shares no interpreter with what is measured.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import NamedTuple, cast

import uvloop

from pipeline.signing import Secret, signed_headers

BODY = (
    b'{"type":"candle","symbol":"%s","time":"%s","open":"10.00","high":"11.00","low":"9.00","close":"10.50",'
    b'"volume":"1000"}'
)
KEYS = 64
_MINUTE_S = 60


class Answers(NamedTuple):
    elapsed_s: float
    statuses: dict[int, int]
    waits_us: list[int]
    """From sending to the answer, sorted."""
    unexplained: int
    """Answers 429 and 503 without Retry-After."""


def requests(secret: Secret, source: str, first: int, count: int, host: str) -> list[bytes]:
    """Requests `first` …, each with an id of its own; a key's candles are a minute apart."""
    now_s = int(time.time())
    made = []
    for number in range(first, first + count):
        key, minute = number % KEYS, number // KEYS
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_MINUTE_S * minute)).encode()
        body = BODY % (b"KEY%d" % key, when)
        made.append(request(signed_headers(secret, f"bench-{number}", now_s, body), source, host, body))
    return made


def request(signed: Mapping[str, str], source: str, host: str, body: bytes) -> bytes:
    """A webhook's bytes; `signed`: the headers that sign it."""
    head = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
    return (
        f"POST /webhook/{source} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n{head}\r\n".encode()
        + body
    )


class Answer(NamedTuple):
    status: int
    explained: bool
    """Whether it has Retry-After."""


def first_answer(buffer: bytes) -> tuple[Answer, bytes] | None:
    """The first answer in what was received, and what comes after it; None while it is not whole."""
    head, found, rest = buffer.partition(b"\r\n\r\n")
    if not found:
        return None
    lower = head.lower()
    place = lower.find(b"content-length:")
    length = int(lower[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
    if len(rest) < length:
        return None
    return Answer(int(head[9:12]), b"\r\nretry-after:" in lower), rest[length:]


class _Connection(asyncio.Protocol):
    """Sends the next request when the one before is answered."""

    def __init__(self, waiting: deque[bytes], done: Done) -> None:
        self._waiting = waiting
        self._done = done
        self._buffer = b""
        self._sent_s = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        if self._waiting and not self._done.over:
            self._sent_s = time.perf_counter()
            self._transport.write(self._waiting.popleft())
        else:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if (found := first_answer(self._buffer)) is None:
            return
        answer, self._buffer = found
        self._done.answered(answer.status, time.perf_counter() - self._sent_s, answer.explained)
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self._done.lost()


class Done:
    """Counts answers until every connection is gone."""

    def __init__(self, connections: int) -> None:
        self.over = False
        self.statuses: Counter[int] = Counter()
        self.waits_s: list[float] = []
        self.unexplained = 0
        self._left = connections
        self.finished = asyncio.get_running_loop().create_future()

    def answered(self, status: int, wait_s: float, explained: bool) -> None:
        self.statuses[status] += 1
        self.waits_s.append(wait_s)
        if status in (429, 503) and not explained:
            self.unexplained += 1

    def lost(self) -> None:
        self._left -= 1
        if not self._left and not self.finished.done():
            self.finished.set_result(None)


async def post_all(host: str, port: int, made: list[bytes], connections: int, limit_s: float) -> Answers:
    """Posts everything over `connections` at once, for at most `limit_s`."""
    loop = asyncio.get_running_loop()
    waiting, done = deque(made), Done(connections)
    started = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(waiting, done), host, port)
    stop = loop.call_later(limit_s, setattr, done, "over", True)
    try:
        async with asyncio.timeout(limit_s + 5):
            await done.finished
    finally:
        stop.cancel()
    elapsed_s = time.perf_counter() - started
    waits_us = sorted(int(wait * 1_000_000) for wait in done.waits_s)
    return Answers(elapsed_s, dict(done.statuses), waits_us, done.unexplained)


def post_from_a_process(
    talk: Connection, secret: bytes, target: tuple[str, int, str], work: tuple[int, int, int, float]
) -> None:
    """The process's work: signs, says so, waits for a word, posts, sends its Answers back.

    `target`: host, port, source. `work`: first number, count, connections, longest (s).
    """
    host, port, source = target
    first, count, connections, limit_s = work
    made = requests(Secret(secret, "bench"), source, first, count, host)
    talk.send_bytes(b"signed")
    talk.recv_bytes()
    talk.send(uvloop.run(post_all(host, port, made, connections, limit_s)))
