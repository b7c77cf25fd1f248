"""The chart as it is installed by default: the operator decides the replicas, and upgrades keep them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest
from chart_release import CHART, NAME, STAGES, Release, run, until
from load_pod import Load

SLOW_VENUE = (
    "config.exec.venue_latency_ms=100",
    "config.exec.venue_concurrency=1",
    "exec.maxReplicas=4",
    "agent.slas.lagMs=10000",
    "agent.slas.throttlePerMille=1000",
    "audit.slas.lagMs=10000",
)
"""One exec has room for 10 orders a second. The others may be slow where the machine is busy, and the agent's
credit is used up a moment before it is known that its own output waits."""

pytestmark = pytest.mark.skipif(
    not (CHART / "crds" / "pipelines.yaml").exists(), reason="the chart has no CustomResourceDefinition"
)


@pytest.fixture(scope="module")
def operated() -> Iterator[Release]:
    release = Release(f"ringline-operated-{os.getpid()}")
    release.make_namespace()
    try:
        release.installed_s = release.install(*SLOW_VENUE)
        yield release
    finally:
        release.drop_namespace()


def pipeline_of(release: Release) -> dict[str, object]:
    found: dict[str, object] = release.get("pipeline", f"{NAME}-ringline")
    return found


@pytest.mark.slow
def test_it_is_ready_within_half_a_minute(operated: Release) -> None:
    print(f"helm install with the operator → all Ready: {operated.installed_s:.1f} s")
    assert operated.installed_s <= 30


def lag_verdict(release: Release, stage: str) -> str:
    """Of the lag SLA of a stage, as the operator last judged it."""
    status = json.loads(release.kubectl("get", "pipeline", f"{NAME}-ringline", "-o", "json"))["status"]
    (found,) = [one for one in status["stages"] if one["name"] == stage]
    return next(str(one["verdict"]) for one in found["slas"] if one["name"] == "lag")


def test_load_above_a_stages_capacity_raises_it_until_its_sla_is_met_and_nothing_is_lost(
    operated: Release,
) -> None:
    # So many keys that no replica gets many more than its share.
    with Load(operated, "load-breach", rate=30, keys=400) as load:
        started_s = time.monotonic()
        until("the exec is raised", lambda: operated.replicas("exec") > 1)
        raised_s = time.monotonic() - started_s
        until("a new exec takes keys", lambda: operated.handled("exec", 1))
        print(f"load → exec raised: {raised_s:.1f} s, its pod at work: {time.monotonic() - started_s:.1f} s")
        until("the SLA is met again", lambda: lag_verdict(operated, "exec") == "met")
        print(f"load → lag within its SLA again: {time.monotonic() - started_s:.1f} s")
        assert operated.replicas("agent") == 1, "the agent was not the bottleneck"
    until("all is audited", lambda: set(load.accepted) <= set(operated.audited()))
    rows = [row for row in operated.audited() if row.startswith(f"{load.name}-")]
    assert sorted(rows) == sorted(load.accepted)
    operated.verify()


@pytest.mark.slow
def test_what_was_decided_outlives_upgrades_and_the_operator_being_off(operated: Release) -> None:
    with Load(operated, "load-kept", rate=30) as load:
        until("the exec is raised", lambda: operated.replicas("exec") > 1)
        operated.upgrade(*SLOW_VENUE, "operator.mode=paused")
        before = operated.replicas("exec")
        assert before > 1, "else this shows nothing"
        operated.upgrade(*SLOW_VENUE, "operator.enabled=false")
        assert operated.replicas("exec") == before
        operated.upgrade(*SLOW_VENUE, "operator.mode=paused")
        assert operated.replicas("exec") == before
        operated.upgrade(*SLOW_VENUE, "operator.mode=paused", "config.links.heartbeat_ms=300")
        assert operated.replicas("exec") == before
        load.more(100)
    until("all is audited", lambda: set(load.accepted) <= set(operated.audited()))
    rows = [row for row in operated.audited() if row.startswith(f"{load.name}-")]
    assert sorted(rows) == sorted(load.accepted)
    print(f"operator off and on: {len(load.accepted)} accepted = audited; answers {load.answers}")


@pytest.mark.slow
def test_an_upgrade_applies_the_definition_again(operated: Release) -> None:
    applied = json.loads(
        run("kubectl", "get", "crd", "pipelines.ringline.dev", "-o", "json", "--show-managed-fields")
    )
    assert "ringline-chart" in {one["manager"] for one in applied["metadata"]["managedFields"]}
    left = operated.get("jobs,serviceaccounts,configmaps")["items"]
    assert not [one["metadata"]["name"] for one in left if "crd-upgrade" in one["metadata"]["name"]]


def test_the_operator_may_write_scale_and_its_status_and_no_more(operated: Release) -> None:
    account = f"system:serviceaccount:{operated.namespace}:{NAME}-ringline-operator"

    def may(verb: str, what: str) -> bool:
        told = run(
            "sh", "-c", f"kubectl auth can-i {verb} {what} --as={account} -n {operated.namespace} || true"
        )
        return told.strip().endswith("yes")

    assert may("patch", f"statefulsets/{NAME}-ringline-exec --subresource=scale")
    assert may("patch", "pipelines.ringline.dev --subresource=status")
    for verb, what in (
        ("patch", f"statefulsets/{NAME}-ringline-exec"), ("delete", "pods"), ("get", "secrets"),
        ("patch", "pipelines.ringline.dev"), ("patch", "statefulsets/another --subresource=scale"),
        ("create", "pods/exec"), ("get", "configmaps"),
    ):  # fmt: skip
        assert not may(verb, what), f"{verb} {what}"


def test_that_is_all_its_account_may(operated: Release) -> None:
    scale = [f"statefulsets.apps/scale [] [{NAME}-ringline-{stage}] [patch]" for stage in STAGES]
    assert operated.rights("operator") == sorted(
        [
            "endpointslices.discovery.k8s.io [] [] [list watch]",
            "events.events.k8s.io [] [] [create patch]",
            "horizontalpodautoscalers.autoscaling [] [] [list watch]",
            "leases.coordination.k8s.io [] [] [create]",
            f"leases.coordination.k8s.io [] [ringline-operator-{NAME}-ringline] [get update]",
            "leases.coordination.k8s.io [] [ringline-operator] [get update]",
            "pipelines.ringline.dev [] [] [get list watch]",
            "pipelines.ringline.dev/status [] [] [patch]",
            "pods [] [] [list watch]",
            "statefulsets.apps [] [] [get list watch]",
            *scale,
        ]
    )


def test_the_operator_stays_small(operated: Release) -> None:
    (pod,) = operated.get("pods", "-l", "app.kubernetes.io/component=operator")["items"]
    status = operated.kubectl("exec", pod["metadata"]["name"], "--", "cat", "/proc/1/status")
    kibibytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    print(f"operator: {kibibytes / 1024:.0f} MiB resident")
    assert kibibytes <= 120 * 1000


@pytest.mark.slow
def test_it_also_decides_in_another_namespace_that_it_is_told_to_watch(operated: Release) -> None:
    other = f"{operated.namespace}-other"
    run("kubectl", "create", "namespace", other)
    try:
        operated.upgrade(*SLOW_VENUE, f"operator.watchNamespaces={{{other}}}")
        pipeline = {
            "apiVersion": "ringline.dev/v1alpha1", "kind": "Pipeline",
            "metadata": {"name": "there", "namespace": other},
            "spec": {"stages": [{"name": "agent", "target": "nowhere"}]},
        }  # fmt: skip
        run("kubectl", "apply", "-f", "-", stdin=json.dumps(pipeline))

        def said() -> str:
            found = json.loads(run("kubectl", "get", "pipeline", "there", "-n", other, "-o", "json"))
            conditions = found.get("status", {}).get("conditions", ())
            return next((one["message"] for one in conditions if one["type"] == "ScalingActive"), "")

        until("it says what it misses", lambda: "nowhere" in said())
    finally:
        run("kubectl", "delete", "namespace", other, "--timeout=120s")
