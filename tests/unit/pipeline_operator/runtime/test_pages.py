"""Probes and metrics over real HTTP."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from pipeline.errors import MissingError
from pipeline_operator.kube.meter import ApiMeter
from pipeline_operator.runtime.gauge import Gauges
from pipeline_operator.runtime.pages import Pages


def pages(port: int = 0, late: bool = False) -> Pages:
    health = (not late, "the last tick ended 99 s ago" if late else "fine")
    return Pages("127.0.0.1", port, Gauges(ApiMeter()), lambda: health, lambda: (True, "ready"))


async def ask(served: Pages, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{served.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


def test_an_overdue_tick_fails_the_liveness_probe() -> None:
    async def work() -> None:
        async with pages() as served:
            assert await ask(served, "/healthz") == (200, "fine\n")
            assert (await ask(served, "/metrics"))[0] == 200
            assert (await ask(served, "/readyz"))[0] == 200
        async with pages(late=True) as served:
            assert await ask(served, "/healthz") == (500, "the last tick ended 99 s ago\n")

    asyncio.run(work())


def test_a_taken_port_is_one_clear_line() -> None:
    async def work() -> None:
        async with pages() as served:
            with pytest.raises(MissingError, match=rf"--port {served.port}: cannot listen on 127.0.0.1"):
                async with pages(served.port):
                    pass

    asyncio.run(work())
