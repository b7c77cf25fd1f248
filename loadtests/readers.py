"""Who reads while others send: a reader of the audit's WebSocket feed, and a user who asks by HTTP.

They come beside a shape's users, and neither is part of its rate. Both are there only if the audit's
address is known.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import gevent
import msgspec
import websocket
from locust import FastHttpUser, User, task

from loadtests import limits
from loadtests.feed import Follower
from loadtests.generator import Generator
from loadtests.pace import Pace
from loadtests.tally import FEED, QUERY
from loadtests.web import bearer

QUERIES = ("/v1/rows?limit=20&order=desc", "/v1/head", "/v1/outcomes", "/v1/rows?outcome=filled&limit=5")
QUERIES_PER_S = 2.0
TURN_S = 0.5


class FeedReader(User):
    """Follows the feed from now on, comes back after a break where it was, and misses no row."""

    abstract = True
    fixed_count = 1
    audit_url = ""
    token = ""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.generator: Generator = environment.generator
        self._follower = Follower()
        self._socket: Any = None

    @task
    def read(self) -> None:
        """A turn: what comes within it; short, so that the user can be stopped."""
        second = int(time.time())
        try:
            if self._socket is None:
                self._socket = self._connected()
            until_s = time.monotonic() + TURN_S
            while time.monotonic() < until_s:
                text = self._socket.recv()
                if not text:
                    raise websocket.WebSocketConnectionClosedException("closed")
                self._note(text)
        except websocket.WebSocketTimeoutException:
            return  # nothing came; what had come of a message is kept
        except (OSError, websocket.WebSocketException, msgspec.DecodeError) as error:
            self.generator.tally.read(second, "feed", fault=f"feed: {type(error).__name__}")
            self._socket = None
            gevent.sleep(limits.RETRY_AFTER_LEAST_S)

    def on_stop(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def wait_time(self) -> float:
        return 0.0

    def _connected(self) -> Any:
        parts = urlsplit(self.audit_url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        start = f"?from={self._follower.next}" if self._follower.next else ""
        found = websocket.create_connection(
            f"{scheme}://{parts.netloc}/v1/feed{start}",
            timeout=limits.ANSWER_S,
            header=[f"{name}: {value}" for name, value in bearer(self.token).items()],
            suppress_origin=True,  # no web page: with tokens the feed answers only those that it is told of
        )
        found.settimeout(TURN_S)
        return found

    def _note(self, text: str | bytes) -> None:
        tally, now_ns = self.generator.tally, time.time_ns()
        message = self._follower.take(text)
        second = now_ns // 1_000_000_000
        if message.type == "row":
            tally.read(second, "feed", gaps=message.missed)
            tally.latency(FEED, now_ns - message.sent_us * 1000)


class QueryUser(FastHttpUser):
    """Asks the audit for rows and counts, on a schedule of its own."""

    abstract = True
    fixed_count = 1
    audit_url = ""
    token = ""
    network_timeout = limits.ANSWER_S
    connection_timeout = limits.ANSWER_S

    def __init__(self, environment: Any) -> None:
        self.host = self.audit_url
        super().__init__(environment)
        self.generator: Generator = environment.generator
        self._turn = 0

    def on_start(self) -> None:
        self._pace = Pace(QUERIES_PER_S, time.monotonic_ns(), 0.5)

    def wait_time(self) -> float:
        return self._pace.wait_s(time.monotonic_ns())

    @task
    def ask(self) -> None:
        intended_ns = self._pace.take()
        path = QUERIES[self._turn % len(QUERIES)]
        self._turn += 1
        name = f"query {path.partition('?')[0]}"
        with self.client.get(path, headers=bearer(self.token), name=name, catch_response=True) as response:
            status = int(response.status_code or 0)
            well = status == 200 and _is_json(response.content)
            tally = self.generator.tally
            tally.read(int(time.time()), "query", fault="" if well else f"{name}: {status or 'no answer'}")
            tally.latency(QUERY, time.monotonic_ns() - intended_ns)
            if well:
                response.success()
            else:
                response.failure(str(status))


def _is_json(content: bytes | None) -> bool:
    try:
        msgspec.json.decode(content or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
