"""Where the gateway speaks HTTPS, everything that asks it does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from rendered_chart import WHY_NOT, Objects, containers, rendered

from pipeline.config import resolve

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

TLS = {"config.gateway.tls_cert_file": "/tls/tls.crt", "config.gateway.tls_key_file": "/tls/tls.key"}
EVERYTHING = {"serviceMonitor.enabled": True, "loadtest.enabled": True, "feed.controls.enabled": True}
PRIVATE: dict[str, list[dict[str, Any]]] = {
    "extraVolumes": [{"name": "tls", "secret": {"secretName": "gateway-tls"}}],
    "extraVolumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": True}],
    "extraEnv": [{"name": "SSL_CERT_FILE", "value": "/tls/ca.crt"}],
}


def _probes(objects: Objects) -> Iterator[str]:
    (worker,) = objects.stage("gateway")["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        yield worker[probe]["httpGet"]["scheme"].lower()


def _monitored(objects: Objects) -> dict[str, Any]:
    """The endpoint of the gateway's own port."""
    endpoints = objects.of("ServiceMonitor")["rl-ringline-gateway"]["spec"]["endpoints"]
    (found,) = [one for one in endpoints if one["port"] == "http"]
    return dict(found)


def _asking(objects: Objects) -> Iterator[str]:
    """Of every URL of the gateway that a pod is given: its scheme."""
    for _, pod in objects.pods():
        for container in containers(pod):
            for word in container.get("args", ()):
                if ":8001" in word:
                    yield word.removeprefix("--url=").partition("://")[0]


@pytest.mark.parametrize("tls", [True, False])
def test_every_probe_and_client_of_the_gateway_speaks_its_scheme(tls: bool) -> None:
    scheme = "https" if tls else "http"
    objects = rendered({**EVERYTHING, **(TLS if tls else {})})
    assert set(_probes(objects)) == {scheme}
    assert _monitored(objects).get("scheme", "http") == scheme
    assert list(_asking(objects)) == [scheme] * 3, "helm test, and the load test with what waits for it"
    assert resolve(objects.configuration()).feed.gateway_url.startswith(f"{scheme}://")
    said = json.dumps(list(objects))
    assert f"{'http' if tls else 'https'}://rl-ringline-gateway:8001" not in said


def test_the_gateways_metrics_are_scraped_by_the_name_in_its_certificate() -> None:
    assert _monitored(rendered(EVERYTHING | TLS))["tlsConfig"] == {
        "serverName": "rl-ringline-gateway.trading.svc"
    }
    own = {"ca": {"secret": {"name": "gateway-tls", "key": "ca.crt"}}, "serverName": "desk.example"}
    found = _monitored(rendered({**EVERYTHING, **TLS, "serviceMonitor.gatewayTlsConfig": own}))
    assert found["tlsConfig"] == own
    assert "tlsConfig" not in _monitored(rendered(EVERYTHING))


def test_collectors_and_the_operator_are_scraped_in_plain_http_as_they_speak() -> None:
    for name, monitor in rendered(EVERYTHING | TLS).of("ServiceMonitor").items():
        for endpoint in monitor["spec"]["endpoints"]:
            own = (name, endpoint["port"]) == ("rl-ringline-gateway", "http")
            assert ("scheme" in endpoint) is own


def test_whoever_asks_the_gateway_can_be_given_its_private_authority() -> None:
    objects = rendered({**EVERYTHING, **TLS, **PRIVATE})
    asking = [
        (container, pod)
        for _, pod in objects.pods()
        for container in containers(pod)
        if any(":8001" in word for word in container.get("args", ()))
    ]
    assert len(asking) == 3
    for container, pod in asking:
        assert PRIVATE["extraEnv"][0] in container["env"]
        assert PRIVATE["extraVolumeMounts"][0] in container["volumeMounts"]
        assert PRIVATE["extraVolumes"][0] in pod["volumes"]


def test_whoever_scrapes_the_gateway_may_reach_it() -> None:
    prometheus = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
    closed = {"networkPolicy.gatewayFrom": [{"podSelector": {}}], "networkPolicy.metricsFrom": [prometheus]}
    for scraped in (True, False):
        objects = rendered(closed | {"serviceMonitor.enabled": scraped})
        rules = objects.of("NetworkPolicy")["rl-ringline-gateway"]["spec"]["ingress"]
        (peers,) = [rule["from"] for rule in rules if rule["ports"][0]["port"] == 8001]
        assert (prometheus in peers) is scraped
