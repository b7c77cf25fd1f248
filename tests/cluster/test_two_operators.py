"""Of two operators on one namespace, one writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from operated import a_pipeline, eventually, has_replicas, is_ready, operating, say_load, stays

from pipeline_operator import limits
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
                held = service.gauges.leases == {stand.namespace: True}
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
