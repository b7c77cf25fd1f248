"""What an API server may do to its clients: the operator goes on, and comes back when it does."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest
from operated import a_pipeline, eventually, has_replicas, is_ready, operating, say_load
from stormy_proxy import Weather, a_stormy_proxy

from pipeline_operator.kube import paths
from pipeline_operator.trial.stand import Stand

pytestmark = pytest.mark.slow

Runs = Callable[[Callable[[Stand], Coroutine[Any, Any, None]]], None]


@pytest.mark.parametrize("weather", [Weather.TOO_MANY, Weather.SICK, Weather.CUT, Weather.EXPIRED])
def test_a_storm_is_survived_and_the_breach_in_it_answered_after_it(
    on_a_stand: Runs, weather: Weather
) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_pipeline(stand)
        async with a_stormy_proxy(stand.access) as proxy, operating(stand, access=proxy.access) as service:
            await is_ready(stand)
            proxy.weather = weather
            proxy.cut_watches()
            say_load(gateway, agents, lag_ms=2_000)
            decided = service.gauges.decision.count

            async def goes_on() -> bool:
                return service.gauges.decision.count >= decided + 8

            await eventually(goes_on, "decisions in the storm")
            url = f"http://127.0.0.1:{service.pages.port}/healthz"
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                assert answer.status == 200
            # It is left alone: not every decision becomes a call. (kopf's own calls are not counted here.)
            failed = [count for (_, code), count in service.gauges.api.calls.items() if code in (0, 429, 503)]
            assert sum(failed) <= 15
            assert service.gauges.api.held_back or weather is Weather.EXPIRED
            proxy.weather = Weather.CALM
            await has_replicas(stand, lambda found: found > 1)

    on_a_stand(work)


def test_watches_that_are_cut_are_begun_again(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        await a_pipeline(stand)
        async with a_stormy_proxy(stand.access) as proxy, operating(stand, access=proxy.access) as service:
            await is_ready(stand)
            proxy.cut_watches()
            change = {"spec": {"tuning": {"tickMs": 300}}}
            await stand.api.merge(paths.pipelines(stand.namespace, "p"), change)

            async def seen() -> bool:
                return (await stand.status("p")).get("observedGeneration") == 2

            await eventually(seen, "the change after the cut")
            assert not service.gauges.errors["tick"]

    on_a_stand(work)
