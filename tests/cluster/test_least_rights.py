"""The operator works with the rights that it is given, and these are few."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from operated import a_pipeline, eventually, has_replicas, is_ready, operating, say_load
from rights import RULES, restricted

from pipeline.errors import MissingError
from pipeline_operator.kube import paths
from pipeline_operator.kube.client import Api
from pipeline_operator.kube.errors import ApiError
from pipeline_operator.trial.stand import Stand

Runs = Callable[[Callable[[Stand], Coroutine[Any, Any, None]]], None]


def test_it_does_all_of_its_work_with_few_rights(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_pipeline(stand)
        access = await restricted(stand, RULES)
        async with operating(stand, access=access) as service:
            await is_ready(stand)
            say_load(gateway, agents, lag_ms=2_000)
            await has_replicas(stand, lambda found: found > 1)

            async def posted() -> bool:
                listed = await stand.api.get(paths.events(stand.namespace))
                return any(one["reason"] == "Raised" for one in listed["items"])

            await eventually(posted, "the Event")
            assert not [key for key in service.gauges.api.calls if key[1] == 403]
            assert service.gauges.watch_restarts == 0
        async with Api(access) as api:
            for path in (
                paths.stateful_sets(stand.namespace, "agent"),
                paths.pipelines(stand.namespace, "p"),
            ):
                with pytest.raises(ApiError, match="403"):
                    await api.merge(path, {"metadata": {"labels": {"touched": "yes"}}})
            with pytest.raises(ApiError, match="403"):
                await api.get(f"/api/v1/namespaces/{stand.namespace}/secrets")

    on_a_stand(work)


def test_a_right_that_is_missing_is_one_clear_line(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        access = await restricted(stand, [rule for rule in RULES if "pods" not in rule["resources"]])

        async def operate() -> None:
            async with operating(stand, access=access) as service:

                async def ended() -> bool:
                    return service.ended

                await eventually(ended, "the operator to give up")

        with pytest.raises(MissingError, match=f"namespace {stand.namespace}: may not list pods"):
            await operate()

    on_a_stand(work)
