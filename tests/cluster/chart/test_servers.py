"""The audit in PostgreSQL and throttles over all symbols in Redis: several audits keep one chain, several
agents one count, also while the servers are restarted."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from chart_release import STAGES, Release, until
from chart_servers import IMAGE, Servers, why_no_servers
from load_pod import Load

pytestmark = pytest.mark.slow

ENTRIES = 25
"""That the throttle lets through within an hour."""
SETS = (
    "operator.enabled=false",
    "config.audit.engine=postgres", "audit.postgres.existingSecret=audit-db", "audit.replicas=2",
    "config.agent.scopes=redis", "agent.redis.existingSecret=scopes", "agent.replicas=2",
    "config.trading.throttles[0].name=desk", "config.trading.throttles[0].per=global",
    f"config.trading.throttles[0].max_trades={ENTRIES}", "config.trading.throttles[0].window_seconds=3600",
)  # fmt: skip


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Release, Servers]]:
    if reason := why_no_servers():
        pytest.skip(reason)
    release = Release(f"ringline-servers-{os.getpid()}")
    release.make_namespace()
    try:
        servers = Servers(release)
        servers.start()
        release.installed_s = release.install(*SETS)
        yield release, servers
    finally:
        release.drop_namespace()


def rows(release: Release) -> list[dict[str, object]]:
    text = release.in_pod(
        release.pod("audit"), "ringline", "audit", "query", "--json", "--limit=10000",
        "--config=/etc/ringline/ringline.json",
    )  # fmt: skip
    return [json.loads(line) for line in text.splitlines()]


def test_every_replica_is_ready(served: tuple[Release, Servers]) -> None:
    release, _ = served
    print(f"helm install with {IMAGE} → all Ready: {release.installed_s:.1f} s")
    assert [release.replicas(stage) for stage in STAGES] == [1, 2, 1, 2]


def test_two_audits_keep_one_chain_and_two_agents_one_count(served: tuple[Release, Servers]) -> None:
    release, _ = served
    with Load(release, "load-servers", rate=50) as load:
        until("both audits append", lambda: all(release.handled("audit", one) for one in range(2)))
        until("both agents decide", lambda: all(release.handled("agent", one) for one in range(2)))
        load.more(300)
    until("all is audited", lambda: set(load.accepted) <= set(release.audited()))
    found = release.audited()
    assert sorted(found) == sorted(load.accepted)
    release.verify()
    ordered = [row for row in rows(release) if row["outcome"] in ("placed", "filled")]
    assert len(ordered) == ENTRIES, "the throttle counts over all symbols and all agents"


@pytest.mark.parametrize("server", ["postgres", "redis"])
def test_a_restart_of_a_server_loses_nothing(served: tuple[Release, Servers], server: str) -> None:
    release, servers = served
    with Load(release, f"load-{server}", rate=30) as load:
        servers.restart(server)
        load.more(150)
    until("all is audited", lambda: set(load.accepted) <= set(release.audited()))
    found = [one for one in release.audited() if one.startswith(f"{load.name}-")]
    assert sorted(found) == sorted(load.accepted)
    release.verify()
    print(f"{server} restarted: {len(load.accepted)} accepted = audited; answers {load.answers}")
