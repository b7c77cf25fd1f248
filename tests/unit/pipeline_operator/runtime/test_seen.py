"""The facts kept of what is watched."""

from __future__ import annotations

from typing import Any

from pipeline_operator.runtime.seen import (
    COLLECTOR_PORT,
    autoscaler_of,
    pod_of,
    set_of,
    slice_of,
)
from pipeline_operator.runtime.world import World

META = {"namespace": "trading", "name": "agent", "uid": "u", "resourceVersion": "7"}
POD: dict[str, Any] = {
    "metadata": META
    | {
        "name": "agent-0",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "ownerReferences": [{"kind": "StatefulSet", "uid": "s", "controller": True}],
    },
    "status": {
        "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:03Z"},
        ]
    },
}


def test_a_pod_of_a_stateful_set_tells_how_long_it_took_to_be_ready() -> None:
    pod = pod_of(POD)
    assert pod is not None
    assert pod.ready_us is not None
    assert pod.ready_us - pod.created_us == 3_000_000
    assert pod_of({"metadata": META}) is None


def test_a_pod_that_found_no_node_is_unschedulable() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    pod = pod_of({**POD, "status": {"conditions": [condition]}})
    assert pod is not None
    assert (pod.unschedulable, pod.ready_us) == (True, None)


def test_only_what_was_applied_under_our_name_is_ours() -> None:
    def owned(manager: str, operation: str) -> bool:
        field: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
        entry = {
            "manager": manager,
            "operation": operation,
            "fieldsV1": field,
            "time": "2026-01-01T00:00:00Z",
        }
        other = {"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:status": {"f:replicas": {}}}}
        return set_of({"metadata": META | {"managedFields": [entry, other]}, "spec": {}}).is_ours

    assert owned("ringline-operator", "Apply")
    assert not owned("ringline-operator", "Update")
    assert not owned("helm", "Apply")


def test_a_slice_tells_pods_and_the_collectors_port() -> None:
    raw = {
        "metadata": META | {"labels": {"kubernetes.io/service-name": "agent"}},
        "ports": [{"name": "collector", "port": 9999}, {"name": "links", "port": 8002}],
        "endpoints": [
            {"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "agent-0"}},
            {"addresses": ["10.0.0.2"]},
            {"addresses": [], "targetRef": {"kind": "Pod", "name": "agent-2"}},
        ],
    }
    found = slice_of(raw)
    assert found is not None
    assert (found.port, found.endpoints) == (9999, (("agent-0", "10.0.0.1"),))
    unnamed = slice_of({**raw, "ports": [{"port": 8002}]})
    assert unnamed is not None
    assert unnamed.port == COLLECTOR_PORT
    assert slice_of({"metadata": META}) is None


def test_an_autoscaler_of_something_else_has_no_target() -> None:
    ref = {"kind": "Deployment", "name": "agent"}
    assert autoscaler_of({"metadata": META, "spec": {"scaleTargetRef": ref}}).target == ""
    assert autoscaler_of({"metadata": META}).target == ""


def test_late_news_never_replace_newer_ones() -> None:
    world = World()
    for version, replicas in (("7", 1), ("12", 3), ("9", 1)):
        raw = {"metadata": META | {"resourceVersion": version}, "spec": {"replicas": replicas}}
        world.note("statefulsets", raw, gone=False)
    seen = world.sets.get("trading", "agent")
    assert seen is not None
    assert seen.replicas == 3
    world.note("statefulsets", {"metadata": META}, gone=True)
    assert world.sets.get("trading", "agent") is None


def test_a_listing_drops_what_was_there_before_it_and_is_not_named() -> None:
    world = World()
    for name in ("a", "b"):
        world.note("statefulsets", {"metadata": META | {"name": name}}, gone=False)
    before = list(world.sets.things)
    world.note("statefulsets", {"metadata": META | {"name": "new"}}, gone=False)
    assert world.sets.drop_missed(before, ["a"]) == [("trading", "b")]
    assert set(world.sets.things) == {("trading", "a"), ("trading", "new")}


def test_pods_of_a_former_set_of_the_same_name_are_not_its() -> None:
    world = World()
    world.note("statefulsets", {"metadata": META | {"uid": "other"}}, gone=False)
    world.note("pods", POD, gone=False)
    seen = world.sets.get("trading", "agent")
    assert seen is not None
    assert world.pods_of(seen) == []


def test_a_release_that_leaves_the_replicas_to_the_operator_puts_them_back_and_nobody_else_does() -> None:
    def put_back(says: str, *managers: str) -> bool:
        fields = [
            {"manager": one, "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
            for one in managers
        ]
        meta = META | {"annotations": {"ringline.dev/replicas": says}, "managedFields": fields}
        return set_of({"metadata": meta}).is_put_back

    assert put_back("kept", "helm")
    assert put_back("decided", "helm-controller")
    assert not put_back("fixed", "helm")
    assert not put_back("kept", "helm", "kubectl")
    assert not put_back("kept")
    assert not set_of({"metadata": META}).is_put_back
