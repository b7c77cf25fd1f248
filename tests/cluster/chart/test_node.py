"""The node is drained under load, and put back: every pod leaves by eviction, and nothing is lost."""

from __future__ import annotations

import json

import pytest
from chart_release import NAME, STAGES, Release, run, until
from load_pod import Load

pytestmark = [pytest.mark.slow, pytest.mark.alone]
"""While its only node is cordoned nobody else's pods start."""

OURS = f"app.kubernetes.io/instance={NAME}"


def test_a_drained_node_gives_every_pod_up_and_nothing_is_lost(release: Release) -> None:
    node = release.get("pod", release.pod("gateway"))["spec"]["nodeName"]
    with Load(release, "load-drain", rate=50) as load:
        try:
            run(
                "kubectl", "drain", node, f"--pod-selector={OURS}", "--ignore-daemonsets",
                "--delete-emptydir-data", "--timeout=120s",
            )  # fmt: skip
            there = release.get("pods", "-l", OURS)["items"]
            assert not [pod for pod in there if pod["spec"].get("nodeName") == node]
        finally:
            run("kubectl", "uncordon", node)
        release.rolled_out()
        load.more()
    until("all is audited", lambda: set(load.accepted) <= set(release.audited()))
    assert sorted(release.audited()) == sorted(load.accepted)
    release.verify()
    print(f"drained: {len(load.accepted)} accepted = audited; answers {load.answers}")


def test_a_second_pod_of_a_stage_is_not_evicted_while_the_first_is_away(release: Release) -> None:
    release.scale("exec", 2)
    until("both are counted", lambda: budget(release) == 1)
    release.kubectl("delete", "pod", release.pod("exec", 0), "--wait=false")
    until("one is away", lambda: budget(release) == 0)
    eviction = {
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": release.pod("exec", 1), "namespace": release.namespace},
    }  # fmt: skip
    path = f"/api/v1/namespaces/{release.namespace}/pods/{release.pod('exec', 1)}/eviction"
    try:
        run("kubectl", "create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    except AssertionError as error:
        assert "disruption budget" in str(error)
    else:
        raise AssertionError("it was evicted")
    until("both are there", lambda: budget(release) == 1)
    assert {one["metadata"]["name"].rpartition("-")[2] for one in release.get("pdb")["items"]} == set(STAGES)


def budget(release: Release) -> int:
    """Execs that may be evicted now."""
    return int(release.get("pdb", f"{NAME}-ringline-exec")["status"]["disruptionsAllowed"])
