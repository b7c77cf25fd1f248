"""The page's controls: off unless asked for, and then with a secret that is good for controls alone."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from rendered_chart import WHY_NOT, Objects, refused, rendered

from pipeline.config import resolve
from pipeline.config.sources import Source
from pipeline.signing import parse_secret

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

ON = {"feed.controls.enabled": True}


def pod(objects: Objects, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = objects.stage(stage)["spec"]["template"]["spec"]
    return found


def mounts(objects: Objects, stage: str, container: str) -> set[str]:
    every = [*pod(objects, stage)["containers"], *pod(objects, stage)["initContainers"]]
    (found,) = [one for one in every if one["name"] == container]
    return {mount["name"] for mount in found["volumeMounts"]}


def secrets(objects: Objects, stage: str) -> set[str]:
    return {one["secret"]["secretName"] for one in pod(objects, stage)["volumes"] if "secret" in one}


def test_by_default_nothing_of_it_is_there() -> None:
    objects = rendered()
    assert "rl-ringline-page" not in objects.of("Secret")
    config = resolve(objects.configuration())
    assert (list(config.sources), config.feed.control_source) == (["demo"], "")
    assert "rl-ringline-page" not in secrets(objects, "audit") | secrets(objects, "gateway")


def test_the_page_gets_a_secret_of_its_own_and_nobody_else_but_the_gateway_does() -> None:
    objects = rendered(ON)
    config = resolve(objects.configuration())
    assert config.feed.control_source == "page"
    assert config.sources["page"].accepts == ("control",)
    assert config.sources["demo"].accepts == Source().accepts, "what others may send is theirs to say"
    assert config.sources["page"].rate_limit.events
    (file,) = config.sources["page"].secret_files
    secret = objects.of("Secret")["rl-ringline-page"]
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    parse_secret(base64.b64decode(secret["data"][file.rpartition("/")[2]]).decode(), "page")
    having = {
        (stage, one["name"])
        for stage in ("gateway", "agent", "exec", "audit")
        for one in (*pod(objects, stage)["containers"], *pod(objects, stage)["initContainers"])
        if "page" in mounts(objects, stage, one["name"])
    }
    assert having == {("gateway", "worker-0"), ("audit", "feed")}
    assert "rl-ringline-webhooks" not in secrets(objects, "audit")
    for stage in ("gateway", "audit"):
        (volume,) = [one for one in pod(objects, stage)["volumes"] if one["name"] == "page"]
        assert volume["secret"]["items"] == [{"key": "page.whsec", "path": "page.whsec"}], "and no other key"


def test_the_page_reaches_the_gateway_by_its_service() -> None:
    narrow: dict[str, Any] = {"networkPolicy.gatewayFrom": [{"namespaceSelector": {}}]}
    objects = rendered(ON | narrow)
    url = resolve(objects.configuration()).feed.gateway_url
    service = objects.of("Service")[url.rpartition("/")[2].partition(":")[0]]
    assert str(service["spec"]["ports"][0]["port"]) == url.rpartition(":")[2]

    def senders(found: Objects) -> set[str | None]:
        rules = found.of("NetworkPolicy")["rl-ringline-gateway"]["spec"]["ingress"]
        (peers,) = [rule["from"] for rule in rules if rule["ports"][0]["port"] == 8001]
        labels = [one.get("podSelector", {}).get("matchLabels", {}) for one in peers]
        return {one.get("app.kubernetes.io/component") for one in labels}

    assert "audit" in senders(objects)
    assert "audit" not in senders(rendered(narrow))
    tls = {"config.gateway.tls_cert_file": "/tls/crt", "config.gateway.tls_key_file": "/tls/key"}
    assert resolve(rendered(ON | tls).configuration()).feed.gateway_url.startswith("https://")


def test_a_secret_of_ones_own_is_named_and_none_is_made() -> None:
    own = {"feed.controls.existingSecret": "desk", "feed.controls.key": "k", "feed.controls.source": "desk"}
    objects = rendered(ON | own)
    assert "rl-ringline-page" not in objects.of("Secret")
    assert "desk" in secrets(objects, "audit") & secrets(objects, "gateway")
    config = resolve(objects.configuration())
    assert config.sources["desk"].secret_files == ("/etc/ringline/page/k",)


def test_the_test_pod_sends_as_a_source_that_may_send_signals() -> None:
    sources = {"config.sources": {"a": {"accepts": ["control"]}, "b": {}}}
    test = rendered(ON | sources).of("Pod")["rl-ringline-test"]
    assert test["spec"]["containers"][0]["args"][3] == "b"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"feed.enabled": False}, "the page is served by the feed"),
        ({"config.feed.page": False}, "they are on the page"),
        ({"feed.controls.source": "demo"}, "that is the source of webhooks"),
        ({"config.sources": {"page": {}}}, "config.sources has it already"),
        ({"feed.controls.existingSecret": "rl-ringline-webhooks"}, "holds the secrets of webhooks"),
        (
            {"feed.controls.existingSecret": "mine", "webhookSecrets.existingSecret": "mine"},
            "feed.controls.existingSecret = mine: holds the secrets of webhooks",
        ),
        (
            {"feed.controls.existingSecret": "mine", "feed.tokens.existingSecret": "mine"},
            "feed.controls.existingSecret = mine: holds the feed's tokens",
        ),
        ({"feed.tokens.controlKey": "read.token"}, "whoever reads could control"),
        ({"config.feed.control_source": "demo"}, "config.feed.control_source: the chart sets it"),
        ({"feed.controls.source": "no/name"}, "/feed/controls/source"),
        ({"feed.tokens.controlKey": ""}, "/feed/tokens/controlKey"),
    ],
)
def test_what_is_not_safe_does_not_render(values: dict[str, Any], said: str) -> None:
    assert said in refused(ON | values)


def test_the_page_is_given_no_source_of_others() -> None:
    assert "has the secret of no source but its own" in refused({"config.feed.control_source": "demo"})
