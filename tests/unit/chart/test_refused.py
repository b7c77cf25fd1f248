"""Values that would lose data, double a limit or never work do not render, and a sentence says why."""

from __future__ import annotations

from typing import Any

import pytest
from rendered_chart import WHY_NOT, refused

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

WIDE = [{"name": "desk", "max_trades": 5, "per": "global"}]
OFF = {"operator.enabled": False}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"gateway.replicas": 2}, "gateway.replicas = 2: there is one gateway with one journal"),
        (OFF | {"audit.replicas": 2}, "audit.replicas = 2: SQLite allows one writer"),
        ({"audit.minReplicas": 2}, "SQLite allows one writer"),
        ({"audit.workers": 2}, "SQLite allows one writer"),
        ({"config.audit.engine": "postgres"}, "audit.postgres.existingSecret must name a secret"),
        ({"audit.postgres.existingSecret": "x"}, "is used only with config.audit.engine: postgres"),
        (
            OFF | {"agent.replicas": 2, "config.trading.throttles": WIDE},
            "throttle desk counts over all symbols",
        ),
        ({"agent.workers": 2, "config.trading.throttles": WIDE}, "throttle desk counts over all symbols"),
        ({"config.agent.scopes": "redis"}, "agent.redis.existingSecret must name a secret"),
        ({"agent.redis.existingSecret": "x"}, "is used only with config.agent.scopes: redis"),
        ({"config.links.key_file": "/x"}, "config.links.key_file: the chart sets it"),
        ({"agent.replicas": 2}, "agent.replicas = 2: the operator decides it"),
        (
            {"exec.minReplicas": 5, "exec.maxReplicas": 4},
            "exec.minReplicas = 5: at most exec.maxReplicas (4)",
        ),
        ({"gateway.persistence.size": "1Gi"}, "must exceed config.journal.max_bytes"),
        ({"config.agent.port": 9000}, "config.agent.port: the chart sets it"),
        ({"config.feed.host": "::"}, "config.feed.host: the chart sets it"),
        ({"config.audit.signing_key_file": "/x"}, "config.audit.signing_key_file: the chart sets it"),
        (
            {"valuation.enabled": True, "feed.enabled": False},
            "valuation.enabled: it takes marks and fills from the feed",
        ),
        (
            {"valuation.enabled": True, "config.valuation.engine": "redis"},
            "config.valuation.engine = redis: valuation.store.existingSecret must name a secret",
        ),
        (
            {"valuation.enabled": True, "valuation.store.existingSecret": "x"},
            "valuation.store.existingSecret: is used only with",
        ),
        ({"config.valuation.enabled": True}, "in this chart it is valuation.enabled"),
        (
            {"valuation.enabled": True, "config.valuation.port": 9000},
            "config.valuation.port: the chart sets it",
        ),
        ({"config.data_dir": "/x"}, "config.data_dir: the chart sets it"),
    ],
)
def test_a_combination_that_cannot_be(values: dict[str, Any], said: str) -> None:
    assert said in refused(values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"agent.replcas": 2}, "replcas"),
        ({"gatway.port": 1}, "gatway"),
        ({"image.pullPolicy": "always"}, "/image/pullPolicy"),
        ({"image.digest": "sha256:12"}, "/image/digest"),
        ({"agent.resources.limits.memory": "256 MB"}, "/agent/resources/limits/memory"),
        ({"exec.maxReplicas": 0}, "/exec/maxReplicas"),
        ({"exec.maxReplicas": "3"}, "/exec/maxReplicas"),
        ({"config.links.credit": 2}, "/config/links/credit"),
        ({"config.links.crdit": 256}, "crdit"),
        ({"config.exec.fill_policy": "never"}, "/config/exec/fill_policy"),
        ({"loadtest.timeScale": 2}, "/loadtest/timeScale"),
        ({"loadtest.timeScale": "0.0"}, "/loadtest/timeScale"),
        ({"operator.mode": "dry-run"}, "/operator/mode"),
        ({"agent.slas.lag": 5}, "'lag' not allowed"),
        ({"podSecurityContext.runAsUser": 0}, "/podSecurityContext/runAsUser"),
        ({"gateway.service.type": "Loadbalancer"}, "/gateway/service/type"),
        ({"collector.replicas": 1}, "replicas"),
        ({"valuation.replicas": 2}, "replicas"),
        ({"valuation.persistence.size": "2 GB"}, "/valuation/persistence/size"),
    ],
)
def test_a_mistake_that_the_schema_catches(values: dict[str, Any], said: str) -> None:
    assert said in refused(values)


def test_throttles_of_a_symbol_may_have_several_agents() -> None:
    with pytest.raises(AssertionError, match="it renders"):
        refused(OFF | {"agent.replicas": 3})
