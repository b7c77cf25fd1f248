"""One keep-alive connection that posts one key's events in order, each the next after its 202."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Protocol, cast

import httptools

from pipeline.clock import NS_PER_S
from pipeline.replay.pacer import Pacer
from pipeline.replay.posts import Post
from pipeline.replay.tally import Tally

FIRST_BACKOFF_S = 0.02
LAST_BACKOFF_S = 0.5
"""Pauses between attempts to connect double in between: a worker restarts within about a second."""
LONGEST_RETRY_AFTER_S = 30.0
DEFAULT_RETRY_AFTER_S = 0.1
MAX_DETAIL_BYTES = 4096
RETRIED = frozenset({409, 429, 500, 502, 503, 504})
"""Answers after which the same event is sent again; any other refusal is final."""


class Desk(Protocol):
    """What a lane needs from the client that owns it."""

    host: str
    port: int
    pacer: Pacer
    tally: Tally

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC."""

    def request(self, post: Post) -> bytes:
        """The signed request, as of now."""

    def refused(self, post: Post, status: int, detail: str) -> None:
        """The gateway will never take this event: nothing more can be posted."""

    def finished(self, lane: Lane) -> None:
        """The lane has nothing more to do, or was told to stop."""


class Lane(asyncio.Protocol):
    """The states: no post (between two), waiting (for its slot or a retry), outstanding (sent, unanswered).

    A post whose connection was lost while outstanding is in doubt: it is sent again under the same
    webhook-id with a fresh timestamp, and the gateway knows whether it had it.
    """

    __slots__ = (
        "_backoff_s",
        "_body",
        "_connecting",
        "_desk",
        "_done",
        "_due_ns",
        "_in_doubt",
        "_loop",
        "_outstanding",
        "_parser",
        "_post",
        "_posts",
        "_repeated",
        "_retry_after_s",
        "_stopping",
        "_timer",
        "_transport",
        "sent_ns",
    )

    def __init__(self, desk: Desk, posts: Iterator[Post], loop: asyncio.AbstractEventLoop) -> None:
        self._desk = desk
        self._posts = posts
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._backoff_s = FIRST_BACKOFF_S
        self._post: Post | None = None
        self._due_ns = desk.now_ns()
        self._outstanding = False
        self._in_doubt = False
        self._stopping = False
        self._done = False
        self._body = b""
        self._repeated = False
        self._retry_after_s = DEFAULT_RETRY_AFTER_S
        self.sent_ns = 0

    # ---- driven by the client ---------------------------------------------------------------------------

    def start(self) -> None:
        self._connect(0.0)

    def stop(self) -> None:
        """Send nothing more; what is outstanding is awaited."""
        self._stopping = True
        if not self._outstanding:
            self._finish()

    def abort(self) -> None:
        """Give up on the connection: silent for too long, or time is up."""
        if self._transport is not None:
            self._transport.abort()
        elif self._stopping:
            self._finish()

    @property
    def outstanding(self) -> bool:
        return self._outstanding

    def overdue_ns(self, now_ns: int) -> int:
        """How long its event has been due (without one: how long it has been waiting for a connection)."""
        return now_ns - self._due_ns

    @property
    def in_doubt(self) -> bool:
        """Its last event was sent and never answered."""
        return self._in_doubt or self._outstanding

    # ---- sending ----------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Takes the next event and sends it in its slot."""
        post = None if self._stopping else next(self._posts, None)
        self._post = post
        if post is None:
            self._finish()
            return
        now_ns = self._desk.now_ns()
        due_ns = self._due_ns = self._desk.pacer.slot_ns(now_ns)
        if due_ns <= now_ns:
            self._transmit()
        else:
            self._wait((due_ns - now_ns) / NS_PER_S)

    def _wait(self, delay_s: float) -> None:
        self._timer = self._loop.call_later(delay_s, self._waited)

    def _waited(self) -> None:
        self._timer = None
        if self._transport is not None:
            self._transmit()

    def _transmit(self) -> None:
        assert self._post is not None
        assert self._transport is not None
        desk = self._desk
        self._outstanding = True
        self.sent_ns = now_ns = desk.now_ns()
        if not desk.tally.first_sent_ns:
            desk.tally.first_sent_ns = now_ns
        self._transport.write(desk.request(self._post))

    def _finish(self) -> None:
        if self._done:
            return
        self._done = True
        for pending in (self._timer, self._connecting):
            if pending is not None:
                pending.cancel()
        if self._transport is not None:
            self._transport.close()
        self._desk.finished(self)

    # ---- the connection ---------------------------------------------------------------------------------

    def _connect(self, delay_s: float) -> None:
        self._connecting = self._loop.create_task(self._open(delay_s))

    async def _open(self, delay_s: float) -> None:
        while True:
            await asyncio.sleep(delay_s)
            try:
                await self._loop.create_connection(lambda: self, self._desk.host, self._desk.port)
            except OSError:
                delay_s = self._back_off()
            else:
                return

    def _back_off(self) -> float:
        delay_s = self._backoff_s
        self._backoff_s = min(2 * delay_s, LAST_BACKOFF_S)
        return delay_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not derive from it
        self._parser = httptools.HttpResponseParser(self)
        if self._done:
            self._transport.close()
        elif self._post is None:
            self._advance()
        elif self._timer is None:
            self._transmit()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._transport = None
        delay_s = 0.0
        if self._outstanding:
            self._outstanding = False
            self._in_doubt = True
            self._desk.tally.retries["connection"] += 1
            delay_s = self._back_off()
        if self._done:
            return
        if self._stopping:
            self._finish()
        else:
            self._connect(delay_s)

    # ---- the answer -------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def on_message_begin(self) -> None:
        self._body = b""
        self._repeated = False
        self._retry_after_s = DEFAULT_RETRY_AFTER_S

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower == b"retry-after":
            self._retry_after_s = retry_after_s(value)
        elif lower == REPEATED_HEADER:
            self._repeated = value == b"true"

    def on_body(self, body: bytes) -> None:
        if len(self._body) < MAX_DETAIL_BYTES:
            self._body += body

    def on_message_complete(self) -> None:
        assert self._parser is not None
        if not self._outstanding or self._post is None:
            return
        status = self._parser.get_status_code()
        keep_alive = self._parser.should_keep_alive()
        self._outstanding = False
        if 200 <= status < 300:
            self._accepted()
        elif status not in RETRIED:
            self._stopping = True
            self._desk.refused(self._post, status, self._body.decode("utf-8", "replace"))
            self._finish()
            return
        else:
            self._desk.tally.retries[str(status)] += 1
            if not self._stopping:
                self._wait(self._retry_after_s)
        if self._stopping:
            self._finish()
        elif not keep_alive and self._transport is not None:
            self._transport.close()
        elif self._post is None:
            self._advance()

    def _accepted(self) -> None:
        assert self._post is not None
        tally = self._desk.tally
        now_ns = self._desk.now_ns()
        tally.accept(self._post.key, self._due_ns, now_ns)
        tally.repeated += self._repeated
        self._due_ns = now_ns
        self._post = None
        self._in_doubt = False
        self._backoff_s = FIRST_BACKOFF_S


REPEATED_HEADER = b"idempotent-replayed"
"""The gateway sets it to `true` on an answer that it has given before."""


def retry_after_s(value: bytes) -> float:
    """Seconds of a Retry-After header; the date form is not used between us."""
    try:
        return min(max(float(value), 0.0), LONGEST_RETRY_AFTER_S)
    except ValueError:
        return DEFAULT_RETRY_AFTER_S
