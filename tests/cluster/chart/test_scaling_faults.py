"""What goes wrong while a release scales itself: its operator dies, pods do not start, somebody scales it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from chart_release import NAME, Release, installed, is_ready, run, until
from load_pod import Load

pytestmark = pytest.mark.slow

EXEC, OPERATOR = f"{NAME}-ringline-exec", f"{NAME}-ringline-operator"
SETS = (
    "config.exec.venue_latency_ms=100",
    "config.exec.venue_concurrency=1",
    "config.links.credit=16",
    "config.links.depth=4",
    "exec.resources.requests.cpu=10m",
    "collector.resources.requests.cpu=10m",
    "exec.maxReplicas=3",
    "operator.tuning.lowerHoldMs=2000",
    "operator.tuning.contestedHoldMs=20000",
)
PATIENCE_S = 150
"""A lowering looks at a minute."""


@pytest.fixture(scope="module")
def operated() -> Iterator[Release]:
    with installed(f"ringline-faults-{os.getpid()}", *SETS) as release:
        yield release


def status_of(release: Release) -> dict[str, Any]:
    found: dict[str, Any] = release.get("pipeline", f"{NAME}-ringline").get("status") or {}
    return found


def condition(release: Release, kind: str) -> dict[str, str]:
    return next(one for one in status_of(release)["conditions"] if one["type"] == kind)


def becomes(release: Release, kind: str, status: str, within_s: float = 90) -> str:
    """The condition's message once it is so."""
    until(f"{kind} {status}", lambda: condition(release, kind)["status"] == status, within_s)
    return condition(release, kind)["message"]


def pods_of(release: Release, component: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = release.get("pods", "-l", f"app.kubernetes.io/component={component}")[
        "items"
    ]
    return found


def nothing_lost(release: Release, load: Load) -> None:
    until("all is audited", lambda: set(load.accepted) <= set(release.audited()))
    rows = [row for row in release.audited() if row.startswith(f"{load.name}-")]
    assert sorted(rows) == sorted(load.accepted)
    release.verify()


def test_an_operator_killed_in_mid_scale_is_followed_by_one_that_goes_on(operated: Release) -> None:
    [before] = pods_of(operated, "operator")
    with Load(operated, "load-killed", rate=25) as load:
        until("the exec is raised", lambda: operated.replicas("exec") > 1)
        raised = operated.replicas("exec")
        name = before["metadata"]["name"]
        operated.kubectl("delete", "pod", name, "--grace-period=0", "--force", "--wait=false")

        def another() -> bool:
            found = [one for one in pods_of(operated, "operator") if is_ready(one)]
            return [one["metadata"]["name"] for one in found] not in ([], [name])

        until("another operator", another)
        until("it holds the Lease", lambda: int(status_of(operated).get("leaseTransitions") or 0) > 0)
        until("a new exec takes keys", lambda: operated.handled("exec", 1))
        assert operated.replicas("exec") >= raised
        told = [one["sentence"] for one in status_of(operated)["decisions"]]
        assert any(sentence.startswith("exec 1 → ") for sentence in told), told
        assert condition(operated, "Contested")["status"] == "False"
    nothing_lost(operated, load)
    until("the least replicas", lambda: operated.replicas("exec") == 1, PATIENCE_S)


def test_replicas_set_by_hand_are_respected_and_told(operated: Release) -> None:
    operated.kubectl("scale", f"statefulset/{EXEC}", "--replicas=2")
    message = becomes(operated, "Contested", "True")
    assert f"somebody else set {EXEC} to 2 replicas" in message
    assert operated.replicas("exec") == 2
    becomes(operated, "Contested", "False")


def test_pods_that_do_not_start_are_told_and_no_more_are_asked_for(operated: Release) -> None:
    until("the least replicas", lambda: operated.replicas("exec") == 1, PATIENCE_S)
    image = operated.get("statefulset", EXEC)["spec"]["template"]["spec"]["containers"][0]["image"]
    only_new = '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":1}}}}'
    operated.kubectl("patch", "statefulset", EXEC, "--patch", only_new)
    operated.kubectl("set", "image", f"statefulset/{EXEC}", "worker-0=ringline.invalid/none:0")
    with Load(operated, "load-stuck", rate=15) as load:
        until("the exec is raised", lambda: operated.replicas("exec") > 1)
        message = becomes(operated, "PodsStuck", "True", PATIENCE_S)
        assert "of exec should have started by now and" in message
        asked = operated.replicas("exec")
        load.more(100)
        assert operated.replicas("exec") == asked
        operated.kubectl("set", "image", f"statefulset/{EXEC}", f"worker-0={image}")
        operated.kubectl("delete", "pod", f"{EXEC}-1", "--wait=false")
        until("a new exec takes keys", lambda: operated.handled("exec", 1))
    nothing_lost(operated, load)


def test_the_operators_rights_are_few(operated: Release) -> None:
    account = f"system:serviceaccount:{operated.namespace}:{OPERATOR}"
    told = run("kubectl", "auth", "can-i", "--list", f"--as={account}", "-n", operated.namespace)
    print(told)
    ours = [line for line in told.splitlines()[1:] if "selfsubject" not in line and not line.startswith(" ")]
    assert "*" not in "".join(ours)
    verbs = {verb for line in ours for verb in line.rpartition("[")[2].rstrip("]").split()}
    assert verbs == {"get", "list", "watch", "patch", "create", "update"}
    assert not [line for line in ours if "secrets" in line or "deployments" in line]


def test_an_uninstall_in_mid_scale_hangs_on_nothing(operated: Release) -> None:
    found = operated.get("pipelines,statefulsets")["items"]
    assert not [one["metadata"]["name"] for one in found if one["metadata"].get("finalizers")]
    with Load(operated, "load-last", rate=25):
        until("the exec is raised", lambda: operated.replicas("exec") > 1)
    operated.helm("uninstall", NAME, "--wait", "--timeout=120s")
    assert not operated.get("pipelines")["items"]
