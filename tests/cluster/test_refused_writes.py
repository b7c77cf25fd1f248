"""Writes that the API server refuses: said, counted, tried again with pauses, and healed when they work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
from operated import a_pipeline, condition_is, eventually, has_replicas, is_ready, operating, say_load
from rights import RBAC, RULES, restricted

from pipeline_operator.kube import paths
from pipeline_operator.runtime.service import Service
from pipeline_operator.trial.stand import Stand

Runs = Callable[[Callable[[Stand], Coroutine[Any, Any, None]]], None]
NOT_THE_AGENT: list[dict[str, Any]] = [
    {**rule, "resourceNames": ["gateway"]} if rule["resources"] == ["statefulsets/scale"] else rule
    for rule in RULES
]


async def grant_all(stand: Stand) -> None:
    path = f"{RBAC}/namespaces/{stand.namespace}/roles/operator"
    role = await stand.api.get(path)
    await stand.api.replace(path, {**role, "rules": RULES})


def forbidden(service: Service) -> int:
    return service.gauges.api.calls["patch", 403]


def test_a_write_without_the_right_to_it_is_told_counted_and_tried_again_with_pauses(
    on_a_stand: Runs,
) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_pipeline(stand)
        access = await restricted(stand, NOT_THE_AGENT)
        async with operating(stand, access=access) as service:
            await is_ready(stand)
            say_load(gateway, agents, lag_ms=2_000)
            told = await condition_is(stand, "ScalingActive", "False")
            assert told["reason"] == "ScaleForbidden"
            assert "agent: the API server refuses to scale StatefulSet agent: " in told["message"]
            assert 'cannot patch resource "statefulsets/scale"' in told["message"]

            async def posted() -> list[Any]:
                listed = await stand.api.get(paths.events(stand.namespace))
                return [one for one in listed["items"] if one["reason"] == "ScaleForbidden"]

            events = await eventually(posted, "the Event")
            assert events[0]["type"] == "Warning"
            assert 'User "system:serviceaccount:' in events[0]["note"]
            before, began = forbidden(service), time.monotonic()
            await asyncio.sleep(4)
            # Four a second without pauses; 1, 2, 4 s and so on with them.
            assert forbidden(service) - before <= 1 + (time.monotonic() - began) / 1.0
            named = (
                f'scale_refused_total{{namespace="{stand.namespace}",pipeline="p",reason="ScaleForbidden"}} '
            )
            assert named in service.gauges.page()
            assert (await stand.condition("p", "ScalingActive"))["status"] == "False"

            async def waiting() -> bool:  # at each attempt it is left out, for a tick
                return "WriteRefused" in (await stand.status("p"))["stages"][1]["sentence"]

            await eventually(waiting, "the stage's sentence")

            await grant_all(stand)
            await has_replicas(stand, lambda found: found > 1)
            healed = await condition_is(stand, "ScalingActive", "True")
            assert healed["reason"] == "Scaling"

    on_a_stand(work)


def test_a_right_that_comes_back_is_seen_although_nothing_is_to_be_written(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_pipeline(stand)
        access = await restricted(stand, NOT_THE_AGENT)
        async with operating(stand, access=access) as service, aiohttp.ClientSession() as session:
            await is_ready(stand)
            say_load(gateway, agents, lag_ms=2_000)
            await condition_is(stand, "ScalingActive", "False")
            say_load(gateway, agents, lag_ms=5)
            url = f"http://127.0.0.1:{service.pages.port}/v1/pipelines/{stand.namespace}/p"

            async def calm() -> bool:
                async with session.get(url) as answer:
                    return "stay as they are" in (await answer.json())["sentence"]

            await eventually(calm, "a decision to change nothing")
            found = await stand.found(paths.stateful_sets(stand.namespace, "agent"))
            await grant_all(stand)
            await condition_is(stand, "ScalingActive", "True")
            after = await stand.found(paths.stateful_sets(stand.namespace, "agent"))
            assert after["spec"]["replicas"] == 1
            owned = [[one["manager"] for one in each["metadata"]["managedFields"]] for each in (found, after)]
            assert owned[0] == owned[1], "a try stores nothing"

    on_a_stand(work)
