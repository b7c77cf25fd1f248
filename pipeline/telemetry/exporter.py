"""The collector's HTTP: a small ASGI application.

GET /metrics      Prometheus text, or OpenMetrics for a client that accepts it
GET /v1/snapshot  pipeline.snapshot.Snapshot as JSON
GET /v1/stream    server-sent events: `snapshot` every 500 ms or ?every_ms=100 and more, `breach` at once
                  both with ?sketches=EVENT,…: also the buckets of these events, to merge with other pods'
                  ?events=EVENT,…: only the latencies of these, of all workers together, and no verdicts
                  ?counts=5,…: only counts over these windows, in seconds
                  ?brief=1: without latencies, at a fraction of the cost; a stream with `events` as well has
                  theirs once a second
GET /v1/links     {"reports": [...]}: what the workers of this machine or pod tell of their links
GET /healthz      whether rings are being drained
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Protocol
from urllib.parse import parse_qs

from pipeline import limits
from pipeline.telemetry.prometheus import CONTENT_TYPE, OPENMETRICS_TYPE, as_openmetrics
from pipeline.telemetry.stream import Hub, Subscriber, Wish

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
PATHS = ("/metrics", "/v1/snapshot", "/v1/stream", "/v1/links", "/healthz")


class Pages(Protocol):
    """What is served."""

    def metrics(self) -> bytes: ...

    def snapshot(self, wish: Wish) -> bytes: ...

    def links(self) -> bytes: ...

    def health(self) -> tuple[bool, bytes]: ...


class Exporter:
    """The application."""

    def __init__(self, pages: Pages, hub: Hub) -> None:
        self._pages = pages
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        if path not in PATHS:
            await _answer(send, 404, TEXT, b"try /metrics, /v1/snapshot, /v1/stream, /v1/links or /healthz\n")
        elif method not in ("GET", "HEAD"):
            await _answer(send, 405, TEXT, b"only GET\n", (b"allow", b"GET, HEAD"))
        elif path == "/v1/stream":
            await self._stream(method, wish_of(scope), receive, send)
        else:
            status, kind, body = self._page(path, scope)
            await _answer(send, status, kind, body, head=method == "HEAD")

    def _page(self, path: str, scope: Scope) -> tuple[int, str, bytes]:
        if path == "/metrics":
            if any(
                name == b"accept" and b"application/openmetrics-text" in value
                for name, value in scope.get("headers", ())
            ):
                return 200, OPENMETRICS_TYPE, as_openmetrics(self._pages.metrics())
            return 200, CONTENT_TYPE, self._pages.metrics()
        if path == "/v1/snapshot":
            return 200, JSON, self._pages.snapshot(wish_of(scope))
        if path == "/v1/links":
            return 200, JSON, self._pages.links()
        well, body = self._pages.health()
        return 200 if well else 503, JSON, body

    async def _stream(self, method: str, wish: Wish, receive: Receive, send: Send) -> None:
        subscriber = self._hub.join(wish)
        if subscriber is None:
            await _answer(send, 503, TEXT, b"too many streams\n", (b"retry-after", b"5"))
            return
        watcher = asyncio.create_task(_watch(receive, subscriber))
        try:
            headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if method == "GET":
                brief = wish.brief and not wish.events
                subscriber.give(snapshot=self._pages.snapshot(wish._replace(brief=brief)))
                while (data := await subscriber.next()) is not None:
                    await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._hub.leave(subscriber)
            watcher.cancel()


def wish_of(scope: Scope) -> Wish:
    """What a query asks for. An unknown event is in no answer, an impossible pace is the usual."""
    given = bytes(scope.get("query_string", b""))[: limits.MAX_HEADER_BYTES]
    if not given:
        return _USUAL
    query = parse_qs(given.decode("ascii", "replace"))
    every = query.get("every_ms", [""])[-1]
    known = _is_number(every) and int(every) >= limits.MIN_PAGE_MS
    return Wish(
        sketches=_names(query.get("sketches", ())),
        events=_names(query.get("events", ())),
        brief=query.get("brief", [""])[-1] == "1",
        counts_s=frozenset(int(one) for one in _names(query.get("counts", ())) if _is_number(one)),
        every_ms=int(every) if known else limits.STREAM_MS,
    )


_USUAL = Wish()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5


def _names(texts: Iterable[str]) -> frozenset[str]:
    """The first MAX_SKETCHES by name."""
    names = {name for text in texts for name in text.split(",") if name}
    return frozenset(sorted(names)[: limits.MAX_SKETCHES])


async def _watch(receive: Receive, subscriber: Subscriber) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    subscriber.end()


async def _answer(
    send: Send, status: int, kind: str, body: bytes, *headers: tuple[bytes, bytes], head: bool = False
) -> None:
    own = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": b"" if head else body})
