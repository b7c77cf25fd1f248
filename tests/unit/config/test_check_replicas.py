"""Replicas that would fork a chain, double a limit or be beyond counting are refused beforehand."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import resolve
from pipeline.errors import ConfigError

WIDE = {"throttles": [{"name": "desk", "max_trades": 5, "per": "global"}]}
DNS: dict[str, Any] = {"members": "dns", "max_replicas": 1}


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"audit": {"members": "dns"}}, "audit.max_replicas = 16: SQLite allows one writer"),
        (
            {"agent": {"members": "dns", "max_replicas": 2}, "trading": WIDE},
            "agent.max_replicas = 2: throttle desk counts over all symbols",
        ),
        (
            {"exec": {"members": "dns", "max_replicas": 64, "workers": 32}},
            "exec.max_replicas = 64: × exec.workers (32) exceeds 1024",
        ),
        ({"agent": {"health_port": 8001}}, "agent.health_port = 8001: port 8001 of worker 0 is taken by"),
        ({"agent": {"health_port": 9464}}, "agent.health_port = 9464"),
        (
            {"agent": {"health_port": 9002, "workers": 2}, "exec": {"health_port": 9012}},
            "exec.health_port = 9012",
        ),
        ({"agent": {"max_replicas": 65}}, "agent.max_replicas = 65"),
        ({"agent": {"service": "Not a name"}}, "agent.service = 'Not a name'"),
        ({"exec": {"venue_latency_ms": -1}}, "exec.venue_latency_ms = -1"),
        ({"exec": {"venue_concurrency": 0}}, "exec.venue_concurrency = 0"),
    ],
)
def test_what_cannot_be_is_named(tree: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(tree)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "tree",
    [
        {"audit": DNS},
        {"audit": {"members": "dns", "engine": "postgres", "max_replicas": 8}},
        {"agent": DNS, "trading": WIDE},
        {"agent": {"members": "dns", "service": "rl-agent.ns.svc.cluster.local."}},
        {"agent": {"max_replicas": 16}, "trading": WIDE},
    ],
)
def test_what_can_be_passes(tree: dict[str, Any]) -> None:
    resolve(tree)
