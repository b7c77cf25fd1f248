"""The valuation in the chart: off by default, behind tokens, one that nothing waits for."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from rendered_chart import SCENARIOS, WHY_NOT, Objects, rendered

from pipeline.config import resolve
from pipeline.signing import SharedKey
from pipeline.stages.valuation.worker import feed_url

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

NAME = "rl-ringline-valuation"


def on(**values: Any) -> Objects:
    return rendered({"valuation.enabled": True} | values)


def pod_of(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = objects.stage("valuation")["spec"]["template"]["spec"]
    return found


def test_nothing_of_it_is_rendered_unless_it_is_asked_for() -> None:
    objects = rendered()
    assert not [one["metadata"]["name"] for one in objects if "valuation" in one["metadata"]["name"]]
    assert "valuation" not in objects.configuration()


def test_it_listens_where_its_service_leads_and_asks_the_feed_of_the_release() -> None:
    objects = on(**{"valuation.service.port": 80, "feed.service.port": 81, "clusterDomain": "cluster.local"})
    config = resolve(objects.configuration())
    (worker,) = pod_of(objects)["containers"]
    assert worker["args"][:3] == ["ringline", "worker", "valuation"]
    assert {one["name"]: one["containerPort"] for one in worker["ports"]} == {
        "valuation": config.valuation.port
    }
    (port,) = objects.of("Service")[NAME]["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (80, "valuation")
    assert feed_url(config) == "ws://rl-ringline-feed.trading.svc.cluster.local.:81"


def test_its_tokens_are_where_the_configuration_says_and_of_the_feeds_only_the_readers() -> None:
    objects = on()
    config = resolve(objects.configuration())
    files = [
        Path(file) for file in (*config.valuation.read_token_files, *config.valuation.control_token_files)
    ]
    secret = objects.of("Secret")[NAME]
    read, control = (base64.b64decode(secret["data"][file.name]) for file in files)
    assert SharedKey(read, "read").is_token(read)
    assert read != control
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    pod = pod_of(objects)
    mounts = {one["mountPath"]: one["name"] for one in pod["containers"][0]["volumeMounts"]}
    volumes = {one["name"]: one for one in pod["volumes"]}
    assert volumes[mounts[str(files[0].parent)]]["secret"]["secretName"] == NAME
    feed = volumes[mounts[str(Path(config.feed.read_token_files[0]).parent)]]["secret"]
    assert (feed["secretName"], [one["key"] for one in feed["items"]]) == ("rl-ringline-feed", ["read.token"])


@pytest.mark.parametrize("engine", ["sqlite", "postgres", "redis", "memory"])
def test_books_are_kept_on_a_volume_that_stays_or_by_a_server(engine: str) -> None:
    server = {"valuation.store.existingSecret": "books"} if engine in ("postgres", "redis") else {}
    objects = on(**{"config.valuation.engine": engine} | server)
    spec, pod = objects.stage("valuation")["spec"], pod_of(objects)
    assert (engine == "sqlite") is bool(spec.get("volumeClaimTemplates"))
    if engine == "sqlite":
        assert set(spec["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}
    assert [one["name"] for one in pod["volumes"]].count("data") == (engine != "sqlite")
    names = {one["name"] for one in pod["containers"][0].get("env", ())}
    assert (resolve(objects.configuration()).valuation.dsn_env in names) is bool(server)


def test_it_may_ask_a_feed_that_only_some_may_ask() -> None:
    objects = on(**{"networkPolicy.feedFrom": [{"namespaceSelector": {}}]})
    rules = objects.of("NetworkPolicy")["rl-ringline-audit"]["spec"]["ingress"]
    (peers,) = [rule["from"] for rule in rules if rule["ports"][0]["port"] == 8006]
    labels = objects.stage("valuation")["spec"]["template"]["metadata"]["labels"]
    assert [
        one for one in peers
        if one.get("podSelector", {}).get("matchLabels", {"no": "label"}).items() <= labels.items()
    ]  # fmt: skip


def test_the_operator_has_nothing_to_do_with_it() -> None:
    objects = on()
    (pipeline,) = objects.of("Pipeline").values()
    assert "valuation" not in str(pipeline)
    assert "valuation" not in str(objects.of("Role"))


def test_a_scenario_has_it() -> None:
    config = [resolve(rendered(scenario=one).configuration()) for one in SCENARIOS]
    assert {one.valuation.enabled for one in config} == {True, False}
