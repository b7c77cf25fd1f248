"""A release whose operator was off once, rolled back under load: its manifests have numbers of replicas,
which Helm writes again, and the operator takes that for nobody's wish."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator

import pytest
from chart_release import CHART, NAME, Release, installed, until
from load_pod import Load
from stage_watch import Watching

pytestmark = pytest.mark.slow

SLOW_VENUE = (
    "config.exec.venue_latency_ms=30",
    "config.exec.venue_concurrency=1",
    "config.links.credit=16",
    "config.links.depth=4",
    "exec.maxReplicas=5",
)
"""One exec has room for 33 orders a second."""
ON, OFF = "operator.enabled=true", "operator.enabled=false"
EXEC = f"{NAME}-ringline-exec"
BACK_WITHIN_S = 15.0
"""A decision and a write, on a busy machine. Ten minutes where a rollback counts as a foreign change."""


@pytest.fixture(scope="module")
def release() -> Iterator[Release]:
    with installed(f"ringline-rollback-{os.getpid()}", *SLOW_VENUE, OFF) as made:
        made.upgrade(*SLOW_VENUE, ON)
        yield made


def contested(release: Release) -> str:
    """Of the Pipeline's condition, its status; empty while there is none."""
    status = release.get("pipeline", f"{NAME}-ringline").get("status", {})
    return next((one["status"] for one in status.get("conditions", ()) if one["type"] == "Contested"), "")


def sentences(release: Release) -> list[str]:
    status = release.get("pipeline", f"{NAME}-ringline").get("status", {})
    return [one["sentence"] for one in status.get("decisions", ())]


def holders(release: Release) -> list[str]:
    """Who holds the Leases; a free one is held by nobody."""
    leases = json.loads(release.kubectl("get", "leases", "-o", "json"))["items"]
    return [one["spec"].get("holderIdentity") or "" for one in leases]


def raised(release: Release) -> int:
    """The exec's replicas once there are several."""
    return until("the exec is raised", lambda: max(0, release.replicas("exec") - 1)) + 1


def nothing_lost(release: Release, load: Load) -> None:
    until("all is audited", lambda: set(load.accepted) <= set(release.audited()))
    rows = [row for row in release.audited() if row.startswith(f"{load.name}-")]
    assert sorted(rows) == sorted(load.accepted)
    release.verify()
    print(f"{load.name}: {len(load.accepted)} accepted = audited; answers {load.answers}")


def test_a_rollback_to_the_same_revision_takes_no_replicas(release: Release) -> None:
    with Load(release, "load-same", rate=80, keys=400) as load:
        raised(release)
        watching = Watching(release, "statefulsets", ".spec.replicas")
        try:
            release.helm("rollback", NAME, "2")
            ended_s = time.time()
            before = max(int(one.value) for one in watching.seen if one.name == EXEC)
            until("they are had again", lambda: release.replicas("exec") >= before, BACK_WITHIN_S)
        finally:
            watching.end()
        seen = [(one.at_s, int(one.value)) for one in watching.seen if one.name == EXEC]
        pairs = itertools.pairwise(seen)
        down_s = next((after[0] for first, after in pairs if after[1] < first[1]), ended_s)
        back_s = next(at_s for at_s, replicas in seen if replicas >= before and at_s >= down_s)
        print(f"exec {[replicas for _, replicas in seen]}; put back → had again: {back_s - down_s:.2f} s")
        assert 1 in [replicas for _, replicas in seen], "the rollback wrote a number, or this shows nothing"
        told = until(
            "it is told", lambda: [one for one in sentences(release) if "rollback of the release" in one]
        )
        print(told[0])
        assert contested(release) == "False"
        release.rolled_out()
        load.more()
        assert contested(release) == "False"
    nothing_lost(release, load)


def test_a_rollback_to_before_the_operator_was_off_finds_the_leases_free(release: Release) -> None:
    with Load(release, "load-off", rate=80, keys=400) as load:
        before = raised(release)
        release.helm("upgrade", NAME, str(CHART), "--reuse-values", "--set", OFF)
        assert release.replicas("exec") >= before
        until("the one that leaves gives them back", lambda: set(holders(release)) == {""}, 30)
        release.helm("rollback", NAME, "2")
        began_s = time.monotonic()
        until("another holds them", lambda: all(holders(release)), 60)
        print(f"rollback → both Leases held: {time.monotonic() - began_s:.1f} s")
        raised(release)
        assert contested(release) == "False"
        load.more()
    nothing_lost(release, load)
