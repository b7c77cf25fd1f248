"""Which targets may be scaled."""

from __future__ import annotations

from typing import Any

from pipelines import two_stages

from pipeline_operator.observation import FaultReason
from pipeline_operator.parse_spec import parse_spec
from pipeline_operator.runtime.seen import SeenPipeline
from pipeline_operator.runtime.targets import Fault, claims_of, faults_of
from pipeline_operator.runtime.world import World


def pipeline(name: str, created: str) -> SeenPipeline:
    return SeenPipeline("trading", name, f"uid-{name}", 1, created, {"stages": two_stages()}, {})


def world_with(*sets: str) -> World:
    world = World()
    for name in sets:
        meta: dict[str, Any] = {"namespace": "trading", "name": name, "uid": name, "resourceVersion": "1"}
        world.note("statefulsets", {"metadata": meta, "spec": {"replicas": 1}}, gone=False)
    return world


SPEC = parse_spec({"spec": {"stages": two_stages()}})


def test_the_oldest_pipeline_has_a_target_whatever_the_order() -> None:
    old, young = pipeline("z", "2026-01-01T00:00:00Z"), pipeline("a", "2026-01-02T00:00:00Z")
    for order in ((old, young), (young, old)):
        claims = claims_of({(one.namespace, one.name): one for one in order}, lambda _: SPEC)
        world = world_with("gateway", "agent")
        assert faults_of(old, SPEC, world, claims) == {}
        assert set(faults_of(young, SPEC, world, claims)) == {"gateway", "agent"}
        agent = faults_of(young, SPEC, world, claims)["agent"]
        assert agent.reason == FaultReason.TAKEN
        assert "belongs to Pipeline z" in agent.text


def test_a_missing_target_is_named() -> None:
    one = pipeline("p", "")
    claims = claims_of({("trading", "p"): one}, lambda _: SPEC)
    assert faults_of(one, SPEC, world_with("gateway"), claims) == {
        "agent": Fault(FaultReason.MISSING, "StatefulSet agent does not exist in namespace trading")
    }


def test_a_target_of_an_autoscaler_says_whose() -> None:
    one, world = pipeline("p", ""), world_with("gateway", "agent")
    autoscaler = {
        "metadata": {"namespace": "trading", "name": "rival", "uid": "rival", "resourceVersion": "1"},
        "spec": {"scaleTargetRef": {"kind": "StatefulSet", "name": "agent", "apiVersion": "apps/v1"}},
    }
    world.note("horizontalpodautoscalers", autoscaler, gone=False)
    claims = claims_of({("trading", "p"): one}, lambda _: SPEC)
    assert faults_of(one, SPEC, world, claims) == {
        "agent": Fault(
            FaultReason.AUTOSCALED,
            "StatefulSet agent is scaled by HorizontalPodAutoscaler rival; delete one of the two",
        )
    }


def test_a_pipeline_that_cannot_be_read_claims_nothing() -> None:
    assert claims_of({("trading", "p"): pipeline("p", "")}, lambda _: None) == {}
