"""What the operator refuses to scale, and says so: targets of others, and specs that only it can judge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from operated import (
    a_pipeline,
    condition_is,
    eventually,
    has_replicas,
    is_ready,
    operating,
    say_load,
    stays,
)
from pipelines import two_stages

from pipeline_operator.kube import paths
from pipeline_operator.kube.client import MERGE
from pipeline_operator.trial.stand import Stand

Runs = Callable[[Callable[[Stand], Coroutine[Any, Any, None]]], None]


async def patch_as(manager: str, stand: Stand, path: str, body: object) -> None:
    """What is not the operator's own write."""
    await stand.api.request("patch", path, body=body, kind=MERGE, params={"fieldManager": manager})


async def scale_by_hand(stand: Stand, target: str, replicas: int) -> None:
    """As `kubectl scale` does."""
    path = paths.scale(stand.namespace, target)
    await patch_as("kubectl", stand, path, {"spec": {"replicas": replicas}})


def test_a_change_by_hand_is_respected_and_told(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_pipeline(stand)
        async with operating(stand):
            await is_ready(stand)
            say_load(gateway, agents, lag_ms=2_000)
            raised = await has_replicas(stand, lambda found: found > 1)
            await scale_by_hand(stand, "agent", raised + 2)
            told = await condition_is(stand, "Contested", "True")
            assert "agent" in told["message"]
            await stays(stand, "agent", raised + 2)

    on_a_stand(work)


def test_a_change_by_hand_is_taken_over_when_its_time_is_over(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        await a_pipeline(stand, maxReplicas=4)
        path = paths.pipelines(stand.namespace, "p")
        await stand.api.merge(path, {"spec": {"tuning": {"contestedHoldMs": 3_000}}})
        async with operating(stand):
            await is_ready(stand)
            await scale_by_hand(stand, "agent", 6)
            await condition_is(stand, "Contested", "True")
            await has_replicas(stand, lambda found: found == 4)
            await condition_is(stand, "Contested", "False")

    on_a_stand(work)


async def put_back_by_helm(stand: Stand, target: str, replicas: int) -> None:
    """As an upgrade or rollback of a chart does that leaves the replicas to the operator, but once rendered
    them."""
    body = {"metadata": {"annotations": {"ringline.dev/replicas": "kept"}}, "spec": {"replicas": replicas}}
    await patch_as("helm", stand, paths.stateful_sets(stand.namespace, target), body)


def test_what_the_release_puts_back_is_had_again_and_nobody_is_blamed(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_pipeline(stand)
        async with operating(stand):
            await is_ready(stand)
            say_load(gateway, agents, lag_ms=2_000)
            raised = await has_replicas(stand, lambda found: found > 1)
            await put_back_by_helm(stand, "agent", 1)
            await has_replicas(stand, lambda found: found >= raised)
            assert (await stand.condition("p", "Contested"))["status"] == "False"
        await put_back_by_helm(stand, "agent", 1)
        async with operating(stand):
            await has_replicas(stand, lambda found: found >= raised)
            assert (await stand.condition("p", "Contested"))["status"] == "False"

    on_a_stand(work)


def test_a_change_by_hand_while_no_operator_ran_is_noticed_by_the_next(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        await a_pipeline(stand)
        async with operating(stand):
            await is_ready(stand)
        await scale_by_hand(stand, "agent", 3)
        async with operating(stand):
            await condition_is(stand, "Contested", "True")
            await stays(stand, "agent", 3)

    on_a_stand(work)


def test_a_target_that_does_not_exist_is_named_until_it_does(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        await stand.create_pipeline("p", two_stages())
        async with operating(stand):
            told = await condition_is(stand, "ScalingActive", "False")
            assert f"StatefulSet agent does not exist in namespace {stand.namespace}" in told["message"]
            assert told["reason"] == "TargetMissing"
            asked = await condition_is(stand, "SignalsStale", "Unknown")
            assert asked["message"] == "no collector was asked: no pod of a stage is ready"
            [gateway] = await stand.running("gateway")
            agents = await stand.running("agent")
            say_load(gateway, agents, lag_ms=5)
            await condition_is(stand, "ScalingActive", "True")
            say_load(gateway, agents, lag_ms=2_000)
            await has_replicas(stand, lambda found: found > 1)

    on_a_stand(work)


def test_a_target_of_two_pipelines_stays_with_the_older_one(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_pipeline(stand)
        await asyncio.sleep(1.1)  # creation times are whole seconds
        await stand.create_pipeline("younger", two_stages(maxReplicas=2, minReplicas=2))
        async with operating(stand):
            told = await condition_is(stand, "ScalingActive", "False", name="younger")
            assert "StatefulSet agent belongs to Pipeline p, which is older" in told["message"]
            assert (await condition_is(stand, "Ready", "False", name="younger"))["reason"] == "StagesTaken"
            asked = await condition_is(stand, "SignalsStale", "Unknown", name="younger")
            assert asked["message"] == "no collector was asked: every stage is another Pipeline's"
            await is_ready(stand)
            assert await stand.replicas("agent") == 1
            say_load(gateway, agents, lag_ms=2_000)
            await has_replicas(stand, lambda found: found > 1)
            await stand.api.delete(paths.pipelines(stand.namespace, "p"))
            await condition_is(stand, "ScalingActive", "True", name="younger")

    on_a_stand(work)


def test_a_target_of_an_autoscaler_is_left_to_it(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_pipeline(stand)
        await stand.api.create(
            paths.autoscalers(stand.namespace),
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "rival"},
                "spec": {
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "agent"},
                    "minReplicas": 1,
                    "maxReplicas": 3,
                },
            },
        )
        async with operating(stand):
            told = await condition_is(stand, "ScalingActive", "False")
            assert told["reason"] == "TargetAutoscaled"
            assert "StatefulSet agent is scaled by HorizontalPodAutoscaler rival" in told["message"]
            await is_ready(stand)
            say_load(gateway, agents, lag_ms=2_000)
            await stays(stand, "agent", 1)

            async def warned() -> list[Any]:
                listed = await stand.api.get(paths.events(stand.namespace))
                return [one for one in listed["items"] if one["reason"] == "TargetAutoscaled"]

            assert [one["type"] for one in await eventually(warned, "the Event")] == ["Warning"]
            await stand.api.delete(f"{paths.autoscalers(stand.namespace)}/rival")
            await has_replicas(stand, lambda found: found > 1)

    on_a_stand(work)


def test_a_circle_that_the_api_server_cannot_see_is_refused_in_the_status(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        stages = [
            {"name": name, "target": name, "upstream": [before]}
            for name, before in (("a", "c"), ("b", "a"), ("c", "b"))
        ]
        await stand.create_pipeline("p", stages)
        async with operating(stand) as service:
            told = await condition_is(stand, "Ready", "False")
            assert told["reason"] == "InvalidSpec"
            assert "a, b, c send to each other in a circle" in told["message"]
            others = (await stand.status("p"))["conditions"]
            assert {one["status"] for one in others if one["type"] != "Ready"} == {"Unknown"}
            path = paths.pipelines(stand.namespace, "p")
            await stand.api.merge(path, {"spec": {"stages": [{"name": "a", "target": "a"}]}})

            async def followed() -> bool:
                return (await stand.condition("p", "Ready")).get("reason") != "InvalidSpec"

            await eventually(followed, "the corrected spec")
            assert not service.gauges.errors

    on_a_stand(work)
