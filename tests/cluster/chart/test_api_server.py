"""The API server is killed under load and stays away for 20 s; meanwhile a stage's SLA is breached.

RINGLINE_TEST_API_SERVER names a command that ends it at once (argument `stop`) and starts it again (`start`):
every cluster has another one. Nothing else can use the cluster then, so these run alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from chart_release import NAME, Release, installed, run, until
from planned_load import Phase, PlannedLoad

COMMAND = os.environ.get("RINGLINE_TEST_API_SERVER", "")
AWAY_S = 20
CALM, BREACH = Phase(5, 15), Phase(30, 45)
"""One exec has room for 10 a second. The breach begins while the API server is away."""
SETS = (
    "config.exec.venue_latency_ms=100",
    "config.exec.venue_concurrency=1",
    "config.links.credit=16",
    "config.links.depth=4",
    "exec.maxReplicas=4",
)
PATIENCE_S = 180
"""Components of a cluster look for its API server again after up to a minute."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(not COMMAND, reason="RINGLINE_TEST_API_SERVER is not set: how to stop and start it"),
]


@pytest.fixture(scope="module")
def operated() -> Iterator[Release]:
    with installed(f"ringline-api-{os.getpid()}", *SETS) as release:
        yield release


def test_events_flow_without_an_api_server_and_a_breach_in_its_absence_is_answered_after(
    operated: Release,
) -> None:
    with PlannedLoad(operated, "load-api", [CALM, BREACH]) as load:
        stopped_s = time.time()
        run(COMMAND, "stop")
        try:
            time.sleep(AWAY_S)  # the time itself is what is tried
        finally:
            away_until_s = time.time()
            run(COMMAND, "start")
        back_s = time.time()
        until("the exec is raised", lambda: operated.replicas("exec") > 1, PATIENCE_S)
        print(f"API server away {back_s - stopped_s:.0f} s; back → exec raised: {time.time() - back_s:.1f} s")
        until("a new exec takes keys", lambda: operated.handled("exec", 1), PATIENCE_S)
        load.finish(CALM.seconds + BREACH.seconds + 120)
    assert load.start_s + CALM.seconds < away_until_s, "the breach began only after it was back"
    meanwhile = [at_s for at_s in load.accepted_s if stopped_s + 1 < at_s < away_until_s - 1]
    assert len(meanwhile) > CALM.rate * AWAY_S / 2
    until("all is audited", lambda: set(load.accepted) <= set(operated.audited()), PATIENCE_S)
    assert sorted(operated.audited()) == sorted(load.accepted)
    operated.verify()
    print(
        f"{len(meanwhile)} accepted meanwhile, {len(load.accepted)} in all = audited; answers {load.answers}"
    )


def test_no_container_was_restarted_for_it(operated: Release) -> None:
    pods = operated.get("pods", "-l", f"app.kubernetes.io/instance={NAME}")["items"]
    statuses = [one for pod in pods for one in pod["status"]["containerStatuses"]]
    assert {one["restartCount"] for one in statuses} == {0}
