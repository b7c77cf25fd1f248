"""Pods of every stage deleted, stages scaled by hand, all under load: accepted = audited, each once."""

from __future__ import annotations

import pytest
from chart_release import STAGES, Release, is_ready, until
from load_pod import Load

pytestmark = pytest.mark.slow


def nothing_lost(release: Release, load: Load) -> None:
    until("all is audited", lambda: set(load.accepted) <= set(release.audited()))
    rows = [row for row in release.audited() if row.startswith(f"{load.name}-")]
    assert sorted(rows) == sorted(load.accepted)
    release.verify()
    print(f"{load.name}: {len(load.accepted)} accepted = audited; answers {load.answers}")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", ["leaves", "killed"])
def test_a_deleted_pod_loses_nothing(release: Release, stage: str, how: str) -> None:
    before = release.get("pod", release.pod(stage))["metadata"]["uid"]
    force = ("--grace-period=0", "--force") if how == "killed" else ()
    with Load(release, f"load-{stage}-{how}") as load:
        release.kubectl("delete", "pod", release.pod(stage), "--wait=false", *force)

        def another() -> bool:
            pods = release.get("pods", "-l", f"app.kubernetes.io/component={stage}")["items"]
            return [pod["metadata"]["uid"] != before and is_ready(pod) for pod in pods] == [True]

        until(f"another {stage}", another)
        load.more()
    nothing_lost(release, load)


@pytest.mark.parametrize("stage", ["agent", "exec"])
def test_scaled_by_hand_new_pods_take_keys_and_nothing_is_lost(release: Release, stage: str) -> None:
    with Load(release, f"load-{stage}-scaled") as load:
        release.scale(stage, 3)
        until("each takes keys", lambda: all(release.handled(stage, ordinal) for ordinal in range(3)))
        release.scale(stage, 1)
        load.more()
        assert release.replicas(stage) == 1
    nothing_lost(release, load)


def test_more_execs_shorten_the_lag_behind_a_slow_venue(release: Release) -> None:
    release.upgrade(
        "operator.enabled=false", "config.exec.venue_latency_ms=100", "config.exec.venue_concurrency=1",
        "config.links.credit=16", "config.links.depth=4",
    )  # fmt: skip
    # One exec has room for 10 a second, and keys move once what it has in flight is through. Of 40 keys one
    # of five execs would own 16, and be as much behind as before; of 400 none has more than 86.
    with Load(release, "load-venue", rate=25, keys=400) as load:
        until("a backlog", lambda: depth(release) > 100)
        release.scale("exec", 5)
        until("no backlog", lambda: depth(release) < 40)
    nothing_lost(release, load)


def depth(release: Release) -> float:
    """Deliveries that the gateway has accepted and nobody has audited."""
    script = (
        "import urllib.request as r; print([line.split()[1] for line in"
        " r.urlopen('http://127.0.0.1:8001/metrics', timeout=5).read().decode().splitlines()"
        " if line.startswith('ringline_gateway_journal_depth ')][0])"
    )
    return float(release.in_pod(release.pod("gateway"), "python", "-c", script))
