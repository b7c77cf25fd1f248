"""Values that would lose data, double a limit or never work do not render, and a sentence says why."""

from __future__ import annotations

from typing import Any

import pytest
from rendered_chart import CHART, WHY_NOT, helm, refused

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

WIDE = [{"name": "desk", "max_trades": 5, "per": "global"}]
OFF = {"operator.enabled": False}


def _latency(*events: str) -> dict[str, Any]:
    return {"agent.slas.latency": [{"event": event, "limitMs": 30} for event in events]}


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
        ({"gateway.replicas": 0}, "gateway.replicas = 0: nothing would be accepted"),
        (OFF | {"gateway.replicas": 0}, "gateway.replicas = 0: nothing would be accepted"),
        ({"gateway.slas.lagMs": 1000}, "gateway.slas.lagMs = 1000: the gateway has no lag"),
        ({"operator.replicaBudget": 3}, "operator.replicaBudget = 3: at least the sum of all minReplicas"),
        (
            {"operator.replicaBudget": 6, "agent.minReplicas": 3, "exec.minReplicas": 2},
            "operator.replicaBudget = 6: at least the sum of all minReplicas, with the gateway's one (7)",
        ),
        (
            {"operator.tuning.lowerUsePerMille": 960},
            "operator.tuning.lowerUsePerMille = 960: at most raiseUsePerMille (950)",
        ),
        (_latency("NOPE"), "agent.slas.latency[0].event = NOPE: nobody measures such an event"),
        (_latency("FILL_GENERATION"), "agent.slas.latency[0].event = FILL_GENERATION: the exec measures it"),
        (_latency("LAG"), "agent.slas.latency[0].event = LAG: nobody measures such an event"),
        (_latency("AGENT_DECISION", "AGENT_DECISION"), "AGENT_DECISION at 9900: given twice"),
        ({"config.telemetry.sla": {"NOPE": {"p95": 5}}}, "telemetry.sla.NOPE: nobody measures such an event"),
        ({"fullnameOverride": "a.b"}, 'fullnameOverride = "a.b": names of Services begin with it'),
        ({"fullnameOverride": "1st"}, 'fullnameOverride = "1st": names of Services begin with it'),
        ({"nameOverride": "a.b"}, 'nameOverride = "rl-a.b": names of Services begin with it'),
        (
            {"gateway.service.nodePort": 30801},
            "gateway.service.nodePort = 30801: a Service of type ClusterIP has none",
        ),
        (
            {"feed.resources.requests.memory": "1Gi"},
            "feed.resources.requests.memory = 1Gi: at most feed.resources.limits.memory (192Mi)",
        ),
        (
            {"exec.resources.requests.cpu": 2, "exec.resources.limits.cpu": "1500m"},
            "exec.resources.requests.cpu = 2: at most exec.resources.limits.cpu (1500m)",
        ),
        ({"linkKeys.enabled": False}, 'config.links.curve = "auto": linkKeys.enabled is false'),
        ({"config.links.key_env": "KEYS"}, "config.links.key_env: not beside links.key_file"),
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
        ({"operator.tuning.tickMs": 1}, "at '/operator/tuning/tickMs': minimum: got 1, want 100"),
        ({"operator.tuning.tickms": 250}, "'tickms' not allowed"),
        ({"agent.replicas": 0}, "at '/agent/replicas': minimum: got 0, want 1"),
        ({"exec.minReplicas": 0}, "at '/exec/minReplicas': minimum: got 0, want 1"),
        ({"audit.replicas": 0}, "at '/audit/replicas': minimum: got 0, want 1"),
        ({"agent.workers": 0}, "at '/agent/workers': minimum: got 0, want 1"),
        (
            {"config.telemetry.ring_entries": 1000},
            "at '/config/telemetry/ring_entries': value must be one of 64",
        ),
        (
            {"config.telemetry.ring_entries": 32},
            "at '/config/telemetry/ring_entries': value must be one of 64",
        ),
        ({"config.space.floor_bytes": -1}, "at '/config/space/floor_bytes': minimum: got -1, want 0"),
        ({"config.trading.strategies.s": {"kind": "martingale"}}, "strategies/s/kind': value must be one of"),
        ({"config.trading.strategies.s": {}}, "missing property 'kind'"),
        ({"operator.watchNamespaces": ["a.b"]}, "/operator/watchNamespaces/0"),
        ({"operator.extraTargets": ["Desk"]}, "/operator/extraTargets/0"),
        ({"commonLabels": {"team": "the desk"}}, "/commonLabels/team"),
        ({"podLabels": {"team": "x" * 64}}, "/podLabels/team"),
        ({"commonAnnotations": {"a b": "c"}}, "a b"),
        ({"ingress.hosts": ["Desk_1.example"]}, "/ingress/hosts/0"),
        ({"image.repository": "Ringline"}, "/image/repository"),
    ],
)
def test_a_mistake_that_the_schema_catches(values: dict[str, Any], said: str) -> None:
    assert said in refused(values)


def test_throttles_of_a_symbol_may_have_several_agents() -> None:
    with pytest.raises(AssertionError, match="it renders"):
        refused(OFF | {"agent.replicas": 3})


def test_an_event_of_one_s_own_may_have_an_sla() -> None:
    with pytest.raises(AssertionError, match="it renders"):
        refused(
            _latency("MODEL_CALL") | {"ownEvents": ["MODEL_CALL", "fit"], "config.telemetry.sla.fit.p99": 5}
        )


@pytest.mark.parametrize("release", ["a.b", "1st"])
def test_a_release_s_name_that_no_service_can_have(release: str) -> None:
    done = helm("template", release, str(CHART))
    assert f'= "{release}-ringline": names of Services begin with it' in done.stderr
    assert done.returncode != 0
    assert helm("template", release, str(CHART), "--set", "fullnameOverride=desk").returncode == 0
