"""The application: routes, who may use them, and what they answer. `docs/feed.md` shows it from outside."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from pipeline import limits
from pipeline.clock import Clock
from pipeline.config.feed import Feed
from pipeline.errors import MissingError, RinglineError, UsageError
from pipeline.stages.feed.access import SUBPROTOCOL, Access
from pipeline.stages.feed.manifest import Manifest, Manifests, Wanted, new_session
from pipeline.stages.feed.pages import Pages
from pipeline.stages.feed.readers import Readers
from pipeline.stages.feed.session import Receive, Send, Session
from pipeline.stages.feed.tail import Listener, Render, Tail
from pipeline.stages.feed.wanted import FeedWanted, ParameterError, feed_wanted
from pipeline.stages.gateway.answer import Answer
from pipeline.stages.gateway.problem import Problem, problem

log = logging.getLogger(__name__)

Scope = dict[str, Any]

FEED_PATH = "/v1/feed"
_RETRY_S = 5
_GET_ONLY = problem(Problem.METHOD_NOT_ALLOWED, "allowed: GET, HEAD", headers=[(b"allow", b"GET, HEAD")])
_ALIVE = Answer(200, b'{"status":"alive"}', [(b"content-type", b"application/json")])
_UPGRADE = problem(
    Problem.BAD_PARAMETER,
    f"{FEED_PATH}: is a WebSocket; ask to upgrade",
    headers=[(b"upgrade", b"websocket")],
)
_DRAINING = problem(Problem.DRAINING, "no more clients are taken here", retry_after_s=_RETRY_S)
_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, HEAD"),
    (b"access-control-allow-headers", b"authorization"),
    (b"access-control-max-age", b"600"),
)


class FeedApp:
    """ASGI. `tail.run()` is the caller's to run; `leave()` ends every session in good order."""

    def __init__(
        self,
        settings: Feed,
        access: Access,
        readers: Readers,
        tail: Tail,
        manifests: Manifests,
        render: Render,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._access = access
        self._readers = readers
        self._tail = tail
        self._manifests = manifests
        self._render = render
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._connected: set[asyncio.Task[Any]] = set()
        self._keeping: set[asyncio.Task[None]] = set()
        """Manifests of those who have left already."""
        self._leaving = False
        self.pages = Pages(
            readers, tail, manifests, render,
            lambda: [session.progress() for session in self._sessions.values()],
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._feed(scope, receive, send)
        elif scope["type"] == "http":
            answer = (await self._answer(scope)).saying(self._access.sharing(scope["headers"]))
            await send(answer.head)
            await send(answer.body if scope["method"] != "HEAD" else {"type": "http.response.body"})

    @property
    def clients(self) -> int:
        return len(self._sessions)

    async def leave(self, within_s: float) -> None:
        """Takes no more clients; those there are get what is settled, and their manifests."""
        self._leaving = True
        for session in self._sessions.values():
            session.leave()
        for some in (self._connected, self._keeping):
            if some:
                await asyncio.wait(tuple(some), timeout=within_s / 2)

    # ---- HTTP

    async def _answer(self, scope: Scope) -> Answer:
        method, path = scope["method"], scope["path"]
        if method == "OPTIONS":
            return Answer(204, b"", _PREFLIGHT)
        if method not in ("GET", "HEAD"):
            return _GET_ONLY
        if path == "/livez":
            return _ALIVE
        if path == "/healthz":
            return await self.pages.health()
        if refusal := self._access.refusal(scope["headers"]):
            return refusal
        if path == FEED_PATH:
            return _UPGRADE
        return await self._guarded(lambda: self.pages.answer(path, scope["query_string"]))

    @staticmethod
    async def _guarded(work: Callable[[], Any]) -> Answer:
        """Whatever goes wrong in a way that is foreseen, as a problem."""
        try:
            found: Answer = await work()
            return found
        except ParameterError as error:
            return problem(Problem.BAD_PARAMETER, str(error), field=error.field)
        except UsageError as error:
            return problem(Problem.BAD_PARAMETER, str(error))
        except RinglineError as error:
            log.warning("feed: %s", error)
            return problem(Problem.AUDIT_AWAY, str(error), retry_after_s=_RETRY_S)

    # ---- WebSocket

    async def _feed(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        refusal = self._refusal(scope)
        wanted: FeedWanted | None = None
        if refusal is None:
            try:
                wanted = feed_wanted(scope["query_string"], self._settings.heartbeat_ms)
            except ParameterError as error:
                refusal = problem(Problem.BAD_PARAMETER, str(error), field=error.field)
        if wanted is None or refusal is not None:
            await _refuse(send, refusal or _DRAINING)
            return
        name = new_session(self._clock.wall_us())
        task = asyncio.current_task()
        assert task is not None
        self._connected.add(task)
        try:
            await self._serve(name, wanted, scope, receive, send)
        finally:
            self._connected.discard(task)

    def _refusal(self, scope: Scope) -> Answer | None:
        if scope["path"] != FEED_PATH:
            return problem(Problem.NOT_FOUND, f"no such path; the feed is {FEED_PATH}")
        if refusal := self._access.refusal(scope["headers"], scope["subprotocols"]):
            return refusal
        if self._leaving:
            return _DRAINING
        if len(self._connected) >= self._settings.max_clients:
            detail = f"feed.max_clients = {self._settings.max_clients} are connected"
            return problem(Problem.TOO_MANY_CLIENTS, detail, retry_after_s=_RETRY_S)
        return None

    async def _serve(self, name: str, wanted: FeedWanted, scope: Scope, receive: Receive, send: Send) -> None:
        listener = Listener(wanted.wanted, wanted.delay_ms)
        try:
            await self._tail.join(listener)
        except RinglineError as error:
            await _refuse(send, problem(Problem.AUDIT_AWAY, str(error), retry_after_s=_RETRY_S))
            return
        try:
            start = self._tail.head + 1 if wanted.start is None else wanted.start
            refusal = await self._guarded_start(start, wanted.after_hash)
            if refusal is not None:
                await _refuse(send, refusal)
                return
            subprotocol = SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None
            await send({"type": "websocket.accept", "subprotocol": subprotocol})
            await self._run(name, start, wanted, scope, receive, send)
        except OSError:  # gone before it was greeted
            return
        finally:
            self._tail.leave(listener)

    async def _run(
        self, name: str, start: int, wanted: FeedWanted, scope: Scope, receive: Receive, send: Send
    ) -> None:
        chosen = Wanted(keys=wanted.wanted.keys, outcomes=wanted.wanted.outcomes)
        session = Session(
            name, start, chosen, wanted.heartbeat_ms, self._settings.stall_s,
            tail=self._tail, readers=self._readers, render=self._render, clock=self._clock,
            receive=receive, send=send,
        )  # fmt: skip
        self._sessions[name] = session
        try:
            manifest = await session.run()
        finally:
            del self._sessions[name]
        with contextlib.suppress(KeyError):
            if session.stalled:
                scope["state"]["abort"]()
        keeping = asyncio.create_task(self._keep(manifest))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)

    async def _keep(self, manifest: Manifest) -> None:
        try:
            await asyncio.to_thread(self._manifests.keep, manifest)
        except OSError as error:
            log.warning("feed: manifest of session %s: cannot be kept: %s", manifest.session, error)

    async def _guarded_start(self, start: int, after_hash: bytes) -> Answer | None:
        try:
            return await self._start_refusal(start, after_hash)
        except MissingError as error:
            return problem(Problem.AUDIT_AWAY, str(error), retry_after_s=_RETRY_S)

    async def _start_refusal(self, start: int, after_hash: bytes) -> Answer | None:
        """Why rows from `start` on cannot follow what the client has."""
        head, first = await self._readers.run(lambda reader: (reader.head().seq, reader.first()))
        if start > head + 1:
            detail = f"from = {start}: the audit ends with row {head}, so the next one is {head + 1}"
            return problem(Problem.NOT_THE_CHAIN, detail, field="from")
        if start < first:
            detail = f"from = {start}: rows before {first} were pruned; their archives have them"
            return problem(Problem.PRUNED, detail, field="from")
        if after_hash and start > 1:
            before = await self._readers.run(lambda reader: reader.link(start - 1))
            if before is not None and before.h != after_hash:
                detail = (
                    f"after_hash: row {start - 1} has hash {before.h.hex()}: the audit is another one by now"
                )
                return problem(Problem.NOT_THE_CHAIN, detail, field="after_hash")
        return None


async def _refuse(send: Send, answer: Answer) -> None:
    """Answers a handshake by HTTP. Headers that uvicorn adds itself are left out."""
    start = {**answer.head, "type": "websocket.http.response.start"}
    with contextlib.suppress(OSError):
        await send(start)
        await send({"type": "websocket.http.response.body", "body": answer.content})


assert limits.MAX_FEED_CLIENTS <= limits.MAX_FEED_CONNECTIONS
