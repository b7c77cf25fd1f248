"""One collector's word: its stream where it grants one, polling where it does not.

Nothing that a collector says is believed further than that it is a snapshot: what it means is judged where
signals are merged. Ages are ours: since `taken_us` was last seen to change, on our own clock.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
import msgspec

from pipeline.clock import NS_PER_MS, Clock
from pipeline.snapshot import SCHEMA_VERSION, Snapshot, decode_snapshot
from pipeline_operator import limits
from pipeline_operator.collectors.sse import SseParser, StreamError

logger = logging.getLogger(__name__)
_FAULTS = (TimeoutError, aiohttp.ClientError, OSError, StreamError, msgspec.DecodeError, UnicodeDecodeError)


@dataclass(frozen=True)
class Address:
    """Where a pod's collector listens."""

    namespace: str
    pod: str
    host: str
    port: int

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class NoStreamError(StreamError):
    """The collector serves no stream, or not one more."""


class Feed:
    """Keeps the newest snapshot of one collector. `on_news(feed, breach)` is called at each new one; with
    `breach` True when the collector says that one of its own SLAs was just violated."""

    def __init__(
        self,
        address: Address,
        session: aiohttp.ClientSession,
        clock: Clock,
        on_news: Callable[[Feed, bool], None],
        sketches: tuple[str, ...] = (),
    ) -> None:
        self.address = address
        self.snapshot: Snapshot | None = None
        self.fault = "has not answered yet"
        """Why there is nothing newer; empty while all is well."""
        self.received = 0
        """Snapshots since the start."""
        self.breaches = 0
        self.streaming = False
        self._session = session
        self._clock = clock
        self._on_news = on_news
        self._sketches = sketches
        self._changed_ns = clock.monotonic_ns()
        self._task: asyncio.Task[None] | None = None

    @property
    def sketches(self) -> tuple[str, ...]:
        """The events that it is asked to hand out sketches of."""
        return self._sketches

    def age_ms(self) -> int:
        """Since what it says last changed, or since we began to ask."""
        return (self._clock.monotonic_ns() - self._changed_ns) // NS_PER_MS

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"collector of {self.address.pod}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        failures = 0
        while True:
            heard = self.received
            try:
                await self._listen()
            except _FAULTS as error:
                self.fault = _told(error)
            except Exception as error:
                logger.exception("collector of %s", self.address.pod)
                self.fault = f"cannot be understood: {type(error).__name__}"
            self.streaming = False
            failures = 0 if self.received > heard else failures + 1
            top_s = min(limits.FEED_MAX_RETRY_S, limits.FEED_FIRST_RETRY_S * 2 ** min(failures, 10))
            await asyncio.sleep(top_s * (0.5 + random.random() / 2))  # noqa: S311 - spreads clients in time

    async def _listen(self) -> None:
        try:
            await self._stream()
            self.fault = "ended the stream"
        except NoStreamError:
            await self._poll()

    async def _stream(self) -> None:
        """Until it ends, or no whole event came for a while: a byte now and then keeps no stream alive."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=limits.POLL_TIMEOUT_S, sock_read=limits.STREAM_SILENT_S
        )
        url = self._url("/v1/stream")
        async with self._session.get(url, timeout=timeout, allow_redirects=False) as answer:
            if answer.status != 200 or answer.content_type != "text/event-stream":
                raise NoStreamError(f"answered {answer.status} to /v1/stream")
            self.streaming = True
            parser, loop = SseParser(), asyncio.get_running_loop()
            async with asyncio.timeout(limits.STREAM_SILENT_S) as patience:
                async for piece in answer.content.iter_any():
                    for sent in parser.feed(piece):
                        self._take(sent.event, sent.data)
                        patience.reschedule(loop.time() + limits.STREAM_SILENT_S)

    async def _poll(self) -> None:
        """For a while: then the stream is asked for again."""
        timeout = aiohttp.ClientTimeout(total=limits.POLL_TIMEOUT_S)
        url = self._url("/v1/snapshot")
        for _ in range(limits.POLLS_BEFORE_STREAM):
            async with self._session.get(url, timeout=timeout, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise StreamError(f"answered {answer.status} to /v1/snapshot")
                data = await answer.content.read(limits.MAX_SNAPSHOT_BYTES + 1)
                while len(data) <= limits.MAX_SNAPSHOT_BYTES and (
                    piece := await answer.content.read(limits.MAX_SNAPSHOT_BYTES + 1 - len(data))
                ):
                    data += piece
            if len(data) > limits.MAX_SNAPSHOT_BYTES:
                raise StreamError(f"a snapshot of more than {limits.MAX_SNAPSHOT_BYTES} bytes")
            self._take("snapshot", data)
            await asyncio.sleep(limits.POLL_EVERY_S)

    def _url(self, path: str) -> str:
        asked = f"?sketches={','.join(self._sketches)}" if self._sketches else ""
        return self.address.url + path + asked

    def _take(self, event: str, data: bytes) -> None:
        if event == "snapshot":
            snapshot = decode_snapshot(data)
            if snapshot.schema != SCHEMA_VERSION:
                raise StreamError(f"speaks snapshots of schema {snapshot.schema}, not {SCHEMA_VERSION}")
            if self.snapshot is None or snapshot.taken_us != self.snapshot.taken_us:
                self._changed_ns = self._clock.monotonic_ns()
            self.snapshot = snapshot
            self.received += 1
            self.fault = ""
            self._on_news(self, False)
        elif event == "breach":
            self.breaches += 1
            self._on_news(self, True)


def _told(error: BaseException) -> str:
    if isinstance(error, aiohttp.SocketTimeoutError | TimeoutError):
        return "does not answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot be reached: {error.os_error.strerror or error.os_error}"
    if isinstance(error, msgspec.DecodeError | UnicodeDecodeError):
        return f"says what is no snapshot: {error}"[:200]
    return (str(error) or type(error).__name__)[:200]
