"""Of two operators on one namespace, one writes."""

from __future__ import annotations

import asyncio
import time
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
from rights import RULES, restricted

from pipeline_operator import limits
from pipeline_operator.collectors.fake import FakeCollector
from pipeline_operator.kube import paths
from pipeline_operator.kube.lease import NAME
from pipeline_operator.trial.stand import Stand

Runs = Callable[[Callable[[Stand], Coroutine[Any, Any, None]]], None]


def test_the_second_operator_waits_for_the_lease_and_takes_over_at_once(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_pipeline(stand)
        async with operating(stand) as second:
            async with operating(stand) as first:

                async def decided() -> bool:
                    return first.gauges.pipelines + second.gauges.pipelines == 1

                await is_ready(stand)
                await eventually(decided, "one of two to decide")
                writer, waiter = (first, second) if first.gauges.pipelines else (second, first)
                assert waiter.gauges.decision.count == 0
                say_load(gateway, agents, lag_ms=2_000)
                raised = await has_replicas(stand, lambda found: found > 1)

                async def counted() -> bool:  # once the answer to the write is back
                    return writer.gauges.writes["raise"] == 1

                await eventually(counted, "the write to be counted")
                assert not waiter.gauges.writes
            lease = await stand.api.get(paths.leases(stand.namespace, NAME))
            left = time.monotonic()

            async def second_decides() -> bool:
                return bool(second.gauges.pipelines)

            await eventually(second_decides, "the operator that is left")
            assert time.monotonic() - left < limits.LEASE_DURATION_S
            assert await stand.replicas("agent") >= raised
            assert lease["spec"]["leaseTransitions"] >= 0

    on_a_stand(work)


def test_an_operator_whose_lease_was_taken_stops_writing(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_pipeline(stand)
        async with operating(stand) as service:
            await is_ready(stand)
            path = paths.leases(stand.namespace, NAME)
            taken = {"holderIdentity": "somebody-else", "leaseDurationSeconds": 3600}
            await stand.api.merge(path, {"spec": taken})

            async def gave_way() -> bool:
                held = service.gauges.leases == {(stand.namespace, NAME): True}
                return not held and not service.gauges.pipelines and service.gauges.collectors == (0, 0)

            await eventually(gave_way, "the operator to give way")
            decided = service.gauges.decision.count
            say_load(gateway, agents, lag_ms=2_000)
            await stays(stand, "agent", 1)
            assert service.gauges.collectors == (0, 0)
            assert service.gauges.decision.count == decided
            assert await stand.replicas("agent") == 1
            await stand.api.merge(path, {"spec": {"holderIdentity": ""}})
            await has_replicas(stand, lambda found: found > 1)

    on_a_stand(work)


async def a_release(stand: Stand, name: str) -> tuple[FakeCollector, list[FakeCollector]]:
    """Gateway, agent and a Pipeline for its own operator, as the chart makes them."""
    [gateway] = await stand.running(f"{name}-gateway")
    agents = await stand.running(f"{name}-agent")
    say_load(gateway, agents, lag_ms=5)
    gateway_stage, agent_stage = two_stages(target=f"{name}-agent")
    stages = [gateway_stage | {"target": f"{name}-gateway"}, agent_stage]
    await stand.create_pipeline(name, stages, operator=name)
    return gateway, agents


def rights_of(name: str) -> list[dict[str, Any]]:
    """What the chart grants: the targets and the Leases of its own release."""
    named = {
        "statefulsets/scale": [f"{name}-gateway", f"{name}-agent"],
        "leases": [NAME, f"{NAME}-{name}"],
    }
    return [
        {**rule, "resourceNames": named[rule["resources"][0]]} if "resourceNames" in rule else rule
        for rule in RULES
    ]


def test_two_releases_in_one_namespace_each_have_an_operator_of_their_own(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        releases = {name: await a_release(stand, name) for name in ("one", "two")}
        access = {name: await restricted(stand, rights_of(name), f"operator-{name}") for name in releases}
        async with (
            operating(stand, access=access["one"], name="one") as first,
            operating(stand, access=access["two"], name="two") as second,
        ):
            for name, (gateway, agents) in releases.items():
                await condition_is(stand, "Ready", "True", name)
                say_load(gateway, agents, lag_ms=2_000)
            for name in releases:
                await has_replicas(stand, lambda found: found > 1, f"{name}-agent")
                assert (await stand.condition(name, "ScalingActive"))["status"] == "True"
            for service in (first, second):
                assert service.gauges.pipelines == 1
                assert not service.gauges.errors
                assert not service.gauges.api.calls["patch", 403]

    on_a_stand(work)


def test_an_operator_for_all_and_one_for_its_own_never_decide_on_the_same_pipeline(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_release(stand, "one")
        await stand.create_pipeline("any", two_stages())
        async with operating(stand) as wide:
            await condition_is(stand, "Ready", "True", "one")
            assert wide.gauges.pipelines == 2
            async with operating(stand, name="one") as own:

                async def looked() -> bool:
                    return len(own.gauges.leases) == 2

                await eventually(looked, "its Leases to be looked at")
                say_load(gateway, agents, lag_ms=2_000)
                await has_replicas(stand, lambda found: found > 1, "one-agent")
                assert own.gauges.decision.count == own.gauges.pipelines == 0
                assert not any(own.gauges.leases.values())
                # A Pipeline of another name is for the one that serves all.
                await a_release(stand, "two")
                await condition_is(stand, "Ready", "True", "two")
                assert own.gauges.decision.count == 0
                assert wide.gauges.leases[stand.namespace, f"{NAME}-two"]

    on_a_stand(work)


def test_a_target_has_one_pipeline_also_where_these_have_different_operators(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_release(stand, "one")
        await asyncio.sleep(1.1)  # creation times are whole seconds
        stages = two_stages(target="one-agent", minReplicas=3)
        await stand.create_pipeline("two", stages, operator="two")
        async with operating(stand, name="two"), operating(stand, name="one"):
            told = await condition_is(stand, "ScalingActive", "False", name="two")
            assert "StatefulSet one-agent belongs to Pipeline one, which is older" in told["message"]
            await condition_is(stand, "Ready", "True", "one")
            await stays(stand, "one-agent", 1)
            say_load(gateway, agents, lag_ms=2_000)
            await has_replicas(stand, lambda found: found > 1, "one-agent")
            assert (await stand.condition("one", "Contested"))["status"] == "False"

    on_a_stand(work)
