"""The operator's HTTP: probes, metrics, and what was decided on one Pipeline last, for the live page:

GET /healthz, /readyz
GET /metrics
GET /v1/pipelines/NAMESPACE/NAME  runtime.told.Told as JSON
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from aiohttp import web

from pipeline.errors import MissingError
from pipeline_operator.runtime.gauge import Gauges
from pipeline_operator.runtime.told import Told


class Pages:
    """Use as an async context manager; `healthy` and `ready` answer (is it so?, a line)."""

    def __init__(
        self,
        host: str,
        port: int,
        gauges: Gauges,
        healthy: Callable[[], tuple[bool, str]],
        ready: Callable[[], tuple[bool, str]],
        told: Callable[[str, str], Told | None],
    ) -> None:
        """`told(namespace, name)`: None where no such Pipeline is kept."""
        self._host, self._port = host, port
        self._gauges = gauges
        self._healthy, self._ready, self._told = healthy, ready, told
        self._runner: web.AppRunner | None = None
        self.port = port
        """The one taken, when 0 was asked for."""

    async def __aenter__(self) -> Pages:
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._health),
                web.get("/readyz", self._readiness),
                web.get("/metrics", self._metrics),
                web.get("/v1/pipelines/{namespace}/{name}", self._pipeline),
            ]
        )
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise MissingError(
                f"--port {self._port}: cannot listen on {self._host}: {error.strerror}"
            ) from None
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        return _answer(*self._healthy())

    async def _readiness(self, _: web.Request) -> web.Response:
        return _answer(*self._ready())

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._gauges.page().encode(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def _pipeline(self, request: web.Request) -> web.Response:
        told = self._told(request.match_info["namespace"], request.match_info["name"])
        if told is None:
            return web.Response(status=404, text="no such Pipeline is kept here\n")
        return web.Response(body=msgspec.json.encode(told), content_type="application/json")


def _answer(well: bool, text: str) -> web.Response:
    return web.Response(status=200 if well else 500, text=text + "\n")
