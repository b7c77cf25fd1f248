"""An operator on a stand with a gateway and an agent, and what its collectors say: for tests on a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from pipelines import two_stages

from pipeline_operator.collectors.fake import FakeCollector, told_stage, told_worker
from pipeline_operator.kube.access import Access
from pipeline_operator.runtime.service import Service
from pipeline_operator.runtime.settings import RunSettings, own_identity
from pipeline_operator.trial.stand import Stand, until


@contextlib.asynccontextmanager
async def operating(
    stand: Stand, records: str = "", access: Access | None = None, name: str = ""
) -> AsyncIterator[Service]:
    """An operator on the stand's namespace, for as long as the context lasts; `access`: another way there."""
    settings = RunSettings(
        (stand.namespace,), host="127.0.0.1", port=0, records=records, identity=own_identity(), name=name
    )
    service, stop = Service(settings, access or stand.access), asyncio.Event()
    running = asyncio.create_task(service.run(stop))
    try:
        yield service
    finally:
        stop.set()
        await running


async def eventually(asks: Callable[[], Awaitable[Any]], what: str, within_s: float = 60.0) -> Any:
    """The first answer that is true."""
    return await until(asks, what, within_s)


def say_load(
    gateway: FakeCollector, agents: Sequence[FakeCollector], *, lag_ms: float, handled: int = 200
) -> None:
    """`handled` messages a second by each agent; the gateway, their sender, tells their lag."""
    gateway.tell(
        stages=[told_stage("gateway", handled=handled * len(agents))],
        replicas=[
            told_worker("gateway", 0, handled=handled * len(agents)),
            *(told_worker("agent", ordinal, lag_ms=lag_ms) for ordinal in range(len(agents))),
        ],
    )
    for ordinal, agent in enumerate(agents):
        agent.tell(
            stages=[told_stage("agent", handled=handled)],
            replicas=[told_worker("agent", ordinal, handled=handled)],
        )


async def a_pipeline(
    stand: Stand, agents: int = 1, **agent: Any
) -> tuple[FakeCollector, list[FakeCollector]]:
    """Gateway and agent, their pods ready, all well, and a Pipeline `p`."""
    [gateway] = await stand.running("gateway")
    collectors = await stand.running("agent", agents)
    say_load(gateway, collectors, lag_ms=5)
    await stand.create_pipeline("p", two_stages(**agent))
    return gateway, collectors


async def is_ready(stand: Stand) -> None:
    async def asks() -> bool:
        return (await stand.condition("p", "Ready")).get("status") == "True"

    await eventually(asks, "Ready")


async def has_replicas(stand: Stand, asks: Callable[[int], bool], target: str = "agent") -> int:
    async def look() -> int:
        found = await stand.replicas(target)
        return found if asks(found) else 0

    return int(await eventually(look, f"replicas of {target}"))


async def condition_is(stand: Stand, kind: str, status: str, name: str = "p") -> dict[str, Any]:
    async def look() -> dict[str, Any]:
        found = await stand.condition(name, kind)
        return found if found.get("status") == status else {}

    return dict(await eventually(look, f"{kind} = {status}"))


async def stays(stand: Stand, target: str, replicas: int, for_s: float = 2.0) -> None:
    until_s = time.monotonic() + for_s
    while time.monotonic() < until_s:
        assert await stand.replicas(target) == replicas
        await asyncio.sleep(0.1)
