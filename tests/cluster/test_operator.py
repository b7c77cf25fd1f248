"""The whole operator against a real API server, with collectors that are told what to say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
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

from pipeline_operator.collectors.fake import told_latency, told_stage
from pipeline_operator.kube import paths
from pipeline_operator.memory import decode_memory
from pipeline_operator.record import ConditionType, decode_record
from pipeline_operator.trial.stand import Stand

Runs = Callable[[Callable[[Stand], Coroutine[Any, Any, None]]], None]


def test_every_condition_is_set_from_the_first_visit_and_nothing_else_is_touched(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        await a_pipeline(stand)
        async with operating(stand):
            await is_ready(stand)
            found = await stand.found(paths.pipelines(stand.namespace, "p"))
        conditions = {one["type"]: one for one in found["status"]["conditions"]}
        assert set(conditions) == {kind.value for kind in ConditionType}
        assert all(one["reason"] and one["lastTransitionTime"] for one in conditions.values())
        assert {one["observedGeneration"] for one in conditions.values()} == {1}
        assert found["status"]["observedGeneration"] == found["metadata"]["generation"] == 1
        assert "finalizers" not in found["metadata"]
        assert "annotations" not in found["metadata"]
        target = await stand.found(paths.stateful_sets(stand.namespace, "agent"))
        assert "finalizers" not in target["metadata"]
        assert "annotations" not in target["metadata"]
        assert [stage["name"] for stage in found["status"]["stages"]] == ["gateway", "agent"]

    on_a_stand(work)


def test_a_breach_raises_the_right_stage_and_says_why_everywhere(on_a_stand: Runs, tmp_path: Path) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_pipeline(stand)
        records = tmp_path / "records.jsonl"
        async with operating(stand, records=str(records)) as service:
            await is_ready(stand)
            say_load(gateway, agents, lag_ms=2_000)
            raised = await has_replicas(stand, lambda found: found > 1)
            assert await stand.replicas("gateway") == 1

            async def told() -> list[Any]:
                return list((await stand.status("p")).get("decisions") or [])

            decisions = await eventually(told, "the decision in the status")

            async def posted() -> list[Any]:
                listed = await stand.api.get(paths.events(stand.namespace))
                return [one for one in listed["items"] if one["reason"] == "Raised"]

            events = await eventually(posted, "the Event")
            assert service.gauges.reaction.count == service.gauges.writes["raise"] >= 1
            page = service.gauges.page()
        written = [decode_record(line) for line in records.read_bytes().splitlines()]
        assert {(one.namespace, one.pipeline) for one in written} == {(stand.namespace, "p")}
        record = next(one for one in written if one.writes)
        assert f"agent 1 → {raised}" in record.sentence
        assert record.sentence in [one["sentence"] for one in decisions]
        assert record.sentence in [one["note"] for one in events]
        assert {one["regarding"]["name"] for one in events} == {"p"}
        assert 'ringline_operator_writes_total{direction="raise"}' in page
        found = await stand.found(paths.stateful_sets(stand.namespace, "agent"))
        owners = {
            (one["manager"], one["operation"], one.get("subresource"))
            for one in found["metadata"]["managedFields"]
            if "f:replicas" in one["fieldsV1"].get("f:spec", {})
        }
        assert owners == {("ringline-operator", "Apply", "scale")}

    on_a_stand(work)


def test_recommend_says_what_it_would_do_and_writes_nothing(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_pipeline(stand)
        path = paths.pipelines(stand.namespace, "p")
        await stand.api.merge(path, {"spec": {"mode": "recommend"}})
        async with operating(stand):
            await is_ready(stand)
            say_load(gateway, agents, lag_ms=2_000)

            async def wished() -> bool:
                stages = (await stand.status("p")).get("stages", ())
                return any(stage["wanted"] > stage["replicas"] for stage in stages)

            await eventually(wished, "a wish")
            assert (await stand.status("p"))["decisions"]
            assert await stand.replicas("agent") == 1
            await stand.api.merge(path, {"spec": {"mode": "active"}})
            await has_replicas(stand, lambda found: found > 1)

    on_a_stand(work)


def test_a_stage_asks_collectors_for_the_buckets_that_its_slas_are_about(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        latency = [{"event": "AGENT_DECISION", "limitMs": 5}]
        gateway, [agent] = await a_pipeline(stand, slas={"lagMs": 500, "latency": latency})
        async with operating(stand):
            await is_ready(stand)
        assert "/v1/stream?sketches=AGENT_DECISION" in agent.asked
        assert gateway.asked
        assert not any("sketches" in asked for asked in gateway.asked)

    on_a_stand(work)


def test_a_latency_above_its_limit_in_one_pod_of_two_raises_by_the_buckets_of_both(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        latency = [{"event": "AGENT_DECISION", "limitMs": 30, "percentileBasisPoints": 9500}]
        gateway, agents = await a_pipeline(stand, agents=2, slas={"latency": latency})

        def say(*took_ms: float) -> None:
            say_load(gateway, agents, lag_ms=5)
            for agent, each_ms in zip(agents, took_ms, strict=True):
                told = told_latency("AGENT_DECISION", [each_ms] * 200)
                agent.tell(stages=[told_stage("agent", handled=200, latencies=told)])

        say(10, 10)
        async with operating(stand):
            await is_ready(stand)

            async def judged() -> bool:
                [sla] = (await stand.status("p"))["stages"][1].get("slas") or [{}]
                return sla.get("verdict") == "met" and bool(abs(sla["value"] - 10_000) < 50)

            await eventually(judged, "the latency to be met")
            await stays(stand, "agent", 2)
            say(10, 90)
            raised = await has_replicas(stand, lambda found: found > 2)

            async def told() -> str:
                return str((await stand.status("p")).get("lastDecision") or "")

            sentence = await eventually(told, "lastDecision")
        why = "latency AGENT_DECISION p95 89.9 ms above 30 ms although no input waits"
        assert f"agent 2 → {raised}: {why}" in sentence

    on_a_stand(work)


@pytest.mark.parametrize("made_by", ["apply", "create"])
def test_replicas_that_were_left_out_are_taken_over_once(on_a_stand: Runs, made_by: str) -> None:
    """Server-side apply leaves them to nobody, a POST to its sender; neither may stop the first raise."""

    async def work(stand: Stand) -> None:
        made = await stand.create_set("agent", None)
        if made_by == "apply":
            path = paths.stateful_sets(stand.namespace, "agent")
            await stand.api.delete(path)
            labels = made["spec"]["selector"]["matchLabels"]
            template = {"metadata": {"labels": labels}, "spec": dict(made["spec"]["template"]["spec"])}
            spec = {"serviceName": "agent", "selector": {"matchLabels": labels}, "template": template}
            body = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "agent"}}
            params = {"fieldManager": "gitops"}
            kind = "application/apply-patch+yaml"
            await stand.api.request("patch", path, body={**body, "spec": spec}, kind=kind, params=params)
        [gateway] = await stand.running("gateway")
        await stand.start_pod("agent-0")
        agents = [await stand.collector("agent-0", "agent")]
        say_load(gateway, agents, lag_ms=5)
        await stand.create_pipeline("p", two_stages())
        async with operating(stand) as service:
            await is_ready(stand)
            say_load(gateway, agents, lag_ms=2_000)
            raised = await has_replicas(stand, lambda found: found > 1)
            assert not service.gauges.errors
        found = await stand.found(paths.stateful_sets(stand.namespace, "agent"))
        owners = [
            (one["manager"], one["operation"])
            for one in found["metadata"]["managedFields"]
            if "f:replicas" in one["fieldsV1"].get("f:spec", {})
        ]
        assert raised > 1
        assert owners == [("ringline-operator", "Apply")]

    on_a_stand(work)


def test_a_deletion_in_mid_scale_leaves_nothing_behind(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_pipeline(stand)
        async with operating(stand) as service:
            await is_ready(stand)
            say_load(gateway, agents, lag_ms=2_000)
            await stand.api.delete(paths.pipelines(stand.namespace, "p"))

            async def forgotten() -> bool:
                left = service.gauges.pipelines or service.gauges.collectors != (0, 0)
                # Its figures go once what was being written is done.
                return not left and 'pipeline="p"' not in service.gauges.page()

            await eventually(forgotten, "the Pipeline to be forgotten")
            assert not service.gauges.errors
            assert await stand.found(paths.pipelines(stand.namespace, "p")) is None
            # The same name again is another Pipeline, and is kept like any other.
            await stand.create_pipeline("p", two_stages())
            await condition_is(stand, "ScalingActive", "True")

    on_a_stand(work)


def test_what_was_learned_and_known_survives_a_restart(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        gateway, agents = await a_pipeline(stand)
        async with operating(stand):
            await is_ready(stand)
            say_load(gateway, agents, lag_ms=2_000)
            raised = await has_replicas(stand, lambda found: found > 1)

            async def remembered() -> bool:
                status = await stand.status("p")
                stages = {stage["name"]: stage for stage in status.get("stages", ())}
                return bool(status.get("memory")) and stages["agent"]["replicas"] == raised

            await eventually(remembered, "the memory in the status")
        before = await stand.status("p")
        async with operating(stand):

            async def newer() -> bool:
                return int((await stand.status("p"))["leaseTransitions"]) > int(before["leaseTransitions"])

            await eventually(newer, "the next operator's status")
            after = await stand.status("p")
        assert after["decisions"][-1] == before["decisions"][-1]
        old, new = (
            {one.stage: one for one in decode_memory(status["memory"].encode()).stages}
            for status in (before, after)
        )
        assert old["agent"].raised_us > 0
        assert new["agent"].raised_us >= old["agent"].raised_us

    on_a_stand(work)


@pytest.mark.slow
def test_fifty_pipelines_that_breach_at_once_are_all_raised(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        names = [f"s{number:02}" for number in range(50)]
        pairs = []
        for name in names:
            gateway = await stand.collector(f"{name}-gw-0", f"{name}-gw")
            agent = await stand.collector(f"{name}-ag-0", f"{name}-ag")
            say_load(gateway, [agent], lag_ms=5)
            pairs.append((gateway, agent))

        async def begin(name: str) -> None:
            for part in ("gw", "ag"):
                await stand.create_set(f"{name}-{part}")
                await stand.start_pod(f"{name}-{part}-0")
            stages = two_stages(target=f"{name}-ag")
            stages[0]["target"] = f"{name}-gw"
            await stand.create_pipeline(name, stages)

        await asyncio.gather(*(begin(name) for name in names))
        async with operating(stand) as service:

            async def all_heard() -> bool:
                return service.gauges.collectors == (100, 100) and len(service.gauges.replicas) == 50

            await eventually(all_heard, "a hundred collectors", 60)
            for gateway, agent in pairs:
                say_load(gateway, [agent], lag_ms=2_000)

            async def all_raised() -> bool:
                return service.gauges.writes["raise"] >= 50

            await eventually(all_raised, "fifty raises")  # how soon, `ringline-operator bench` measures
            for name in names:
                assert await stand.replicas(f"{name}-ag") > 1
        assert not service.gauges.errors

    on_a_stand(work)
