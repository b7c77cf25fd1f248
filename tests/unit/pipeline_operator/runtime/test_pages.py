"""Probes and metrics over real HTTP."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from pipeline.errors import MissingError
from pipeline.stages.feed.elsewhere import OperatorClient
from pipeline_operator.kube.meter import ApiMeter
from pipeline_operator.runtime.gauge import Gauges
from pipeline_operator.runtime.pages import Pages
from pipeline_operator.runtime.told import Told
from pipeline_operator.status import Decision


def pages(port: int = 0, late: bool = False) -> Pages:
    health = (not late, "the last tick ended 99 s ago" if late else "fine")
    return Pages("127.0.0.1", port, Gauges(ApiMeter()), lambda: health, lambda: (True, "ready"), told)


def told(namespace: str, name: str) -> Told | None:
    if (namespace, name) != ("trading", "rl"):
        return None
    decision = Decision(at="2026-01-01T00:00:00Z", sentence="agent 1 → 2: lag")
    return Told(
        at="2026-01-01T00:00:01Z", mode="active", sentence="all is met",
        conditions={"Contested": "by hand"}, decisions=(decision,),
    )  # fmt: skip


def test_what_was_decided_last_is_told_by_name_and_understood_by_the_page() -> None:
    async def work() -> None:
        async with pages() as served:
            assert (await ask(served, "/v1/pipelines/trading/other"))[0] == 404
            client = OperatorClient(f"http://127.0.0.1:{served.port}/v1/pipelines/trading/rl")
            newest = await asyncio.to_thread(client.newest)
            client.close()
        assert [one["sentence"] for one in newest] == ["all is met", "Contested: by hand", "agent 1 → 2: lag"]
        assert newest[2]["at"] == "2026-01-01T00:00:00Z"

    asyncio.run(work())


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
