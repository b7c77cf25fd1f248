"""A way to a real API server that can be made stormy: answers of 429 or 503, cut connections, silence."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from enum import StrEnum

import aiohttp
import kopf
from aiohttp import web

from pipeline_operator.kube.access import Access

_HOP_BY_HOP = {"connection", "content-encoding", "content-length", "host", "keep-alive", "transfer-encoding"}


class Weather(StrEnum):
    CALM = "calm"
    TOO_MANY = "429 for all"
    SICK = "503 for all"
    CUT = "every connection is cut"
    EXPIRED = "every watch is told 410"


class StormyProxy:
    """Plain HTTP here, the access's TLS and credentials there."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self.weather = Weather.CALM
        self.answers: Counter[int] = Counter()
        self.port = 0
        self._session: aiohttp.ClientSession | None = None
        self._watches: set[asyncio.Task[object]] = set()

    @property
    def access(self) -> Access:
        """For clients of the proxy."""
        return Access(kopf.ConnectionInfo(server=f"http://127.0.0.1:{self.port}"), rotates=False)

    def cut_watches(self) -> None:
        """End every watch that is open, in the middle of a word."""
        for task in self._watches:
            task.cancel()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.weather is Weather.TOO_MANY:
            return self._refused(429, {"Retry-After": "1"})
        if self.weather is Weather.SICK:
            return self._refused(503, {})
        if self.weather is Weather.CUT:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        watching = "watch" in request.query
        if watching and self.weather is Weather.EXPIRED:
            gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
            return web.json_response(gone)
        return await self._forwarded(request, watching)

    def _refused(self, code: int, headers: dict[str, str]) -> web.Response:
        self.answers[code] += 1
        body = {"kind": "Status", "code": code, "reason": "Storm", "message": "a storm"}
        return web.json_response(body, status=code, headers=headers)

    async def _forwarded(self, request: web.Request, watching: bool) -> web.StreamResponse:
        assert self._session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        url = self._access.server + request.path_qs
        data = await request.read()
        task = asyncio.current_task()
        assert task is not None
        async with self._session.request(request.method, url, data=data or None, headers=headers) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            self.answers[answer.status] += 1
            if not watching:
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            self._watches.add(task)
            try:
                async for piece in answer.content.iter_any():
                    await response.write(piece)
            except (ConnectionError, asyncio.CancelledError):
                if request.transport is not None:
                    request.transport.abort()
            finally:
                self._watches.discard(task)
            return response

    async def start(self) -> web.AppRunner:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = int(runner.addresses[0][1])
        connector = aiohttp.TCPConnector(limit=0, ssl=self._access.tls())
        timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(
            connector=connector, headers=self._access.headers(), timeout=timeout
        )
        return runner

    async def stop(self, runner: web.AppRunner) -> None:
        await runner.cleanup()
        if self._session is not None:
            await self._session.close()


@contextlib.asynccontextmanager
async def a_stormy_proxy(access: Access) -> AsyncIterator[StormyProxy]:
    proxy = StormyProxy(access)
    runner = await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop(runner)
