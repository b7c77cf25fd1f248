"""The live page over HTTP, in front of the feed's own paths:

GET  /             the page; its files below /page/
GET  /v1/live      server-sent events: `hello`, `points`, `book`, `steps`, `frame`; `?after=EPOCH:N` or
                   Last-Event-ID: points after number N of the server EPOCH, all of another one's
POST /v1/control   {"action": "halt"|"resume"|"flatten", "id": "…", "reason": "…"}, with the role control

The page itself holds nothing, so it needs no token; everything that it asks for does.
"""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from pipeline import __version__, limits
from pipeline.errors import RinglineError
from pipeline.stages.feed.access import CONTROL, READ, Access
from pipeline.stages.feed.app import FeedApp, Scope
from pipeline.stages.feed.controls import Controls
from pipeline.stages.feed.session import Receive, Send
from pipeline.stages.feed.wanted import ParameterError, parameters
from pipeline.stages.gateway.answer import Answer
from pipeline.stages.gateway.problem import Problem, problem
from pipeline.web.assets import Asset, assets
from pipeline.web.history import Place
from pipeline.web.viewers import Viewer, Viewers, event

LIVE, CONTROL_PATH = "/v1/live", "/v1/control"
_RETRY_S = 5
_STREAM = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"))
_POST_ONLY = problem(Problem.METHOD_NOT_ALLOWED, "allowed: POST", headers=[(b"allow", b"POST")])
_GET_ONLY = problem(Problem.METHOD_NOT_ALLOWED, "allowed: GET, HEAD", headers=[(b"allow", b"GET, HEAD")])
_FULL = problem(Problem.TOO_MANY_CLIENTS, f"{limits.MAX_VIEWERS} are looking", retry_after_s=_RETRY_S)


class PageApp:
    """ASGI. What is not the page's goes on to `feed`."""

    def __init__(
        self, feed: FeedApp, access: Access, viewers: Viewers, controls: Controls, page_ms: int
    ) -> None:
        self._feed = feed
        self._access = access
        self._viewers = viewers
        self._controls = controls
        self._page_ms = page_ms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if scope["type"] != "http":
            await self._feed(scope, receive, send)
        elif path == LIVE and scope["method"] != "OPTIONS":
            await self._live(scope, receive, send)
        elif path == CONTROL_PATH:
            await _say(send, await self._control(scope, receive))
        elif (asset := assets().get(path)) is not None:
            await _file(scope, asset, send)
        else:
            await self._feed(scope, receive, send)

    # ---- the stream

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._access.refusal(scope["headers"])
        if refusal is None and scope["method"] not in ("GET", "HEAD"):
            refusal = _GET_ONLY
        place = Place()
        if refusal is None:
            try:
                place = _place(scope)
            except ParameterError as error:
                refusal = problem(Problem.BAD_PARAMETER, str(error), field=error.field)
        viewer = None if refusal else self._viewers.join(place)
        if viewer is None:
            await _say(send, refusal or _FULL)
            return
        watching = asyncio.create_task(_watch(receive, viewer))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [*_STREAM]})
            if scope["method"] == "GET":
                with contextlib.suppress(OSError):
                    await self._send_all(scope, viewer, send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._viewers.leave(viewer)
            watching.cancel()

    async def _send_all(self, scope: Scope, viewer: Viewer, send: Send) -> None:
        role = self._role(scope)
        why_not = await self._controls.why_not() if role == CONTROL else ""
        epoch = self._viewers.history.epoch
        hello = msgspec.json.encode(
            {
                "role": role, "why_not": why_not, "page_ms": self._page_ms, "version": __version__,
                "epoch": epoch,
            }
        )  # fmt: skip
        await send({"type": "http.response.body", "body": event("hello", hello), "more_body": True})
        while (data := await viewer.next(self._viewers.history)) is not None:
            if data:
                await send({"type": "http.response.body", "body": data, "more_body": True})

    def _role(self, scope: Scope) -> str:
        refused = self._access.refusal(scope["headers"], role=CONTROL)
        return READ if refused else CONTROL

    # ---- controls

    async def _control(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] != "POST":
            return _POST_ONLY
        headers = dict(scope["headers"])
        if refusal := self._access.refusal(scope["headers"], role=CONTROL):
            return refusal
        if not self._access.is_own(scope["headers"]):
            return problem(
                Problem.FORBIDDEN_ORIGIN, "origin: controls are for this server's own page", field="origin"
            )
        if headers.get(b"content-type", b"").partition(b";")[0].strip() != b"application/json":
            return problem(
                Problem.BAD_PARAMETER, "content-type: expected application/json", field="content-type"
            )
        body = await _body(receive)
        if body is None:
            detail = f"the limit is {limits.MAX_CONTROL_BYTES} bytes"
            return problem(Problem.BODY_TOO_LARGE, detail)
        try:
            return await self._controls.post(body)
        except ParameterError as error:
            return problem(Problem.BAD_PARAMETER, str(error), field=error.field)
        except RinglineError as error:
            return problem(Problem.NOT_READY, str(error), retry_after_s=_RETRY_S)


def _place(scope: Scope) -> Place:
    """The last point that the client has."""
    given = parameters(scope["query_string"], ("after",))
    header = dict(scope["headers"]).get(b"last-event-id", b"").decode("latin-1")
    text = given["after"][0] if given.get("after") else header or "0"
    try:
        return Place.of(text)
    except ValueError:
        raise ParameterError("after", f" = {text[:64]!r}: expected EPOCH:N, the place of a point") from None


async def _body(receive: Receive) -> bytes | None:
    """The request's body; None when it is too large or the client left."""
    data: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        data += message.get("body", b"")
        if len(data) > limits.MAX_CONTROL_BYTES:
            return None
        if not message.get("more_body", False):
            return data


async def _file(scope: Scope, asset: Asset, send: Send) -> None:
    method, headers = scope["method"], dict(scope["headers"])
    if method not in ("GET", "HEAD"):
        await _say(send, _GET_ONLY)
        return
    packed = b"gzip" in headers.get(b"accept-encoding", b"")
    known = headers.get(b"if-none-match", b"").decode("latin-1") == asset.etag
    content = b"" if known else asset.packed if packed else asset.content
    said: list[tuple[bytes, bytes]] = [*asset.headers(packed=packed)]
    if not known:
        said.append((b"content-length", b"%d" % len(content)))
    await send({"type": "http.response.start", "status": 304 if known else 200, "headers": said})
    await send({"type": "http.response.body", "body": content if method == "GET" else b""})


async def _watch(receive: Receive, viewer: Viewer) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    viewer.end()


async def _say(send: Send, answer: Answer) -> None:
    await send(answer.head)
    await send(answer.body)
