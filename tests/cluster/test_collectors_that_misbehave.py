"""Collectors that lie, are mute, slow, or of another version, under a whole operator."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from operated import a_pipeline, condition_is, eventually, is_ready, operating, say_load, stays

from pipeline_operator.collectors.fake import Manner, told_latency, told_stage
from pipeline_operator.kube import paths
from pipeline_operator.trial.stand import Stand

pytestmark = pytest.mark.slow

Runs = Callable[[Callable[[Stand], Coroutine[Any, Any, None]]], None]


@pytest.mark.parametrize("manner", [one for one in Manner if one not in (Manner.WELL, Manner.POLL_ONLY)])
def test_a_collector_without_a_sound_word_is_named_and_lowers_nothing(
    on_a_stand: Runs, manner: Manner
) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_pipeline(stand, agents=2)
        tuning = {"lowerHoldMs": 0, "trialHoldMs": 0, "staleAfterMs": 1_500}
        await stand.api.merge(paths.pipelines(stand.namespace, "p"), {"spec": {"tuning": tuning}})
        for one in (gateway, *agents):
            one.manner = manner
        say_load(gateway, agents, lag_ms=1, handled=1)
        async with operating(stand) as service:
            told = await condition_is(stand, "SignalsStale", "True")
            assert "agent" in told["message"]
            await stays(stand, "agent", 2)
            assert service.pages.port > 0
            assert not service.gauges.errors
            for one in (gateway, *agents):
                one.manner = Manner.WELL
            await condition_is(stand, "SignalsStale", "False")

    on_a_stand(work)


def test_a_collector_that_grants_no_stream_is_polled(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_pipeline(stand)
        gateway.manner = Manner.POLL_ONLY
        async with operating(stand) as service:
            await is_ready(stand)

            async def some_stream() -> bool:
                return service.gauges.collectors == (2, 1)

            await eventually(some_stream, "one stream of two")
            await condition_is(stand, "SignalsStale", "False")
            say_load(gateway, agents, lag_ms=2_000)

            async def raised() -> bool:
                return await stand.replicas("agent") > 1

            await eventually(raised, "a raise on polled figures")
        assert any(asked.startswith("/v1/snapshot") for asked in gateway.asked)

    on_a_stand(work)


def test_an_sla_on_an_event_that_nobody_records_is_told(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        gateway, [agent] = await a_pipeline(stand, slas={"latency": [{"event": "NOPE", "limitMs": 5}]})
        say_load(gateway, [agent], lag_ms=5)
        agent.tell(stages=[told_stage("agent", latencies=told_latency("AGENT_DECISION", [3.0] * 200))])
        async with operating(stand):

            async def unknown() -> dict[str, Any]:
                found = await stand.condition("p", "SignalsStale")
                return found if found.get("reason") == "EventUnknown" else {}

            told = await eventually(unknown, "the unknown event")
            assert told["status"] == "True"
            assert "agent: nobody has recorded NOPE" in told["message"]
            assert "recorded are AGENT_DECISION" in told["message"]

    on_a_stand(work)
