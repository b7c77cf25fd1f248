"""What the chart renders: safe pods, least rights, and a configuration that the pipeline takes."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from rendered_chart import SCENARIOS, WHY_NOT, Objects, containers, helm, rendered, workers_of

from pipeline import limits
from pipeline.config import resolve
from pipeline.config.feed import Feed
from pipeline.signing import SharedKey
from pipeline.storage.audit.note import SigningKey
from pipeline.telemetry.layout import ENTRY_BYTES

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
STAGES = ("gateway", "agent", "exec", "audit")


@each_scenario
def test_every_scenario_passes_lint(scenario: Path) -> None:
    done = helm("lint", "--strict", str(scenario.parents[1]), "--values", str(scenario))
    assert done.returncode == 0, done.stdout


@each_scenario
def test_every_pod_meets_the_restricted_standard_on_a_root_that_is_read_only(scenario: Path) -> None:
    for whose, pod in rendered(scenario=scenario, upgrade=True).pods():
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, whose
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["enableServiceLinks"] is False, "RINGLINE_… of a Service would be taken for configuration"
        for container in containers(pod):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"], whose


@each_scenario
def test_only_what_talks_to_the_api_has_a_token_and_nobody_has_a_wildcard(scenario: Path) -> None:
    objects = rendered(scenario=scenario, upgrade=True)
    with_token = {whose for whose, pod in objects.pods() if pod.get("automountServiceAccountToken", True)}
    assert all(whose.endswith(("-operator", "-crd-upgrade")) for whose in with_token)
    for role in (*objects.of("Role").values(), *objects.of("ClusterRole").values()):
        for rule in role["rules"]:
            assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
    for role in objects.of("ClusterRole").values():
        assert [rule["resourceNames"] for rule in role["rules"]] == [["pipelines.ringline.dev"]]


@each_scenario
def test_the_pipeline_takes_the_configuration(scenario: Path) -> None:
    objects = rendered(scenario=scenario)
    config = resolve(objects.configuration())
    names = set(objects.of("Service")) | set(objects.of("StatefulSet"))
    for stage in (config.agent, config.exec, config.audit):
        assert stage.members == "dns"
        assert stage.service.partition(".")[0] in names


@each_scenario
def test_a_stage_is_named_as_its_service_and_listens_where_the_configuration_says(scenario: Path) -> None:
    objects = rendered(scenario=scenario)
    config = resolve(objects.configuration())
    for name, section in (("agent", config.agent), ("exec", config.exec), ("audit", config.audit)):
        stage = objects.stage(name)
        assert stage["spec"]["serviceName"] == stage["metadata"]["name"] == section.service.partition(".")[0]
        assert objects.of("Service")[stage["metadata"]["name"]]["spec"]["publishNotReadyAddresses"] is True
        workers = workers_of(stage)
        assert len(workers) == section.workers
        for index, worker in enumerate(workers):
            ports = {port["name"]: port["containerPort"] for port in worker["ports"]}
            assert ports == {
                f"link-{index}": section.port + 10 * index,
                f"health-{index}": section.health_port + 10 * index,
            }
            assert f"--ordinal={index}" in worker["args"]


@each_scenario
def test_a_pods_grace_covers_the_wait_before_the_drain_and_the_drain(scenario: Path) -> None:
    objects = rendered(scenario=scenario)
    drain_s = resolve(objects.configuration()).supervisor.drain_s
    for name in STAGES:
        pod = objects.stage(name)["spec"]["template"]["spec"]
        for worker in pod["containers"]:
            wait_s = worker["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert pod["terminationGracePeriodSeconds"] > wait_s + drain_s + limits.LEAVE_GRACE_S


@each_scenario
def test_every_stage_is_guarded_and_evicted_one_at_a_time(scenario: Path) -> None:
    objects = rendered(scenario=scenario)
    beside = {"valuation"} if resolve(objects.configuration()).valuation.enabled else set()
    beside |= {name.rpartition("-")[2] for name in objects.of("Deployment")}
    assert {name.rpartition("-")[2] for name in objects.of("NetworkPolicy")} == set(STAGES) | beside
    assert {name.rpartition("-")[2] for name in objects.of("PodDisruptionBudget")} == set(STAGES)


def test_the_collector_is_a_sidecar_that_nobodys_readiness_hangs_on() -> None:
    for name in STAGES:
        (collector,) = rendered().stage(name)["spec"]["template"]["spec"]["initContainers"]
        assert collector["restartPolicy"] == "Always"
        assert "readinessProbe" not in collector


def _names(feed: Feed) -> list[str]:
    """Of the tokens' keys in their secret."""
    return [Path(file).name for file in (*feed.read_token_files, *feed.control_token_files)]


def _ports(objects: Objects, suffix: str) -> dict[str, Any]:
    """name → target of the Service whose name ends so; none without it."""
    found = [one for name, one in objects.of("Service").items() if name.endswith(suffix)]
    return {port["name"]: port["targetPort"] for one in found for port in one["spec"]["ports"]}


def _mebibytes(text: str) -> float:
    return int(text.removesuffix("Mi")) if text.endswith("Mi") else int(text) / limits.MIB


@pytest.mark.parametrize(
    "entries", [limits.MIN_RING_ENTRIES, limits.DEFAULT_RING_ENTRIES, limits.MAX_RING_ENTRIES]
)
@pytest.mark.parametrize("workers", [1, 3])
def test_shared_memory_fits_the_rings_and_is_paid_for_by_the_workers(entries: int, workers: int) -> None:
    objects = rendered({"config.telemetry.ring_entries": entries, "agent.workers": workers})
    pod = objects.stage("agent")["spec"]["template"]["spec"]
    (shm,) = [one for one in pod["volumes"] if one["name"] == "shm"]
    size_mib = _mebibytes(shm["emptyDir"]["sizeLimit"])
    ring_mib = entries * ENTRY_BYTES / limits.MIB
    assert size_mib >= 2 * workers * ring_mib + 1
    added = [_mebibytes(one["resources"]["limits"]["memory"]) - 256 for one in pod["containers"]]
    assert sum(added) >= size_mib


def test_the_feeds_ring_has_its_place_too() -> None:
    sizes = []
    for on in (True, False):
        pod = rendered({"feed.enabled": on}).stage("audit")["spec"]["template"]["spec"]
        (shm,) = [one for one in pod["volumes"] if one["name"] == "shm"]
        sizes.append(_mebibytes(shm["emptyDir"]["sizeLimit"]))
    assert sizes[0] - sizes[1] >= 2 * limits.DEFAULT_RING_ENTRIES * ENTRY_BYTES / limits.MIB


def test_replicas_are_left_out_where_the_operator_decides_them() -> None:
    decided = rendered()
    assert [name for name in STAGES if "replicas" in decided.stage(name)["spec"]] == ["gateway"]
    fixed = rendered({"operator.enabled": False, "exec.replicas": 3})
    assert [fixed.stage(name)["spec"]["replicas"] for name in STAGES] == [1, 1, 3, 1]
    assert not fixed.of("Pipeline")
    assert not fixed.of("Deployment")


def test_the_pipeline_object_names_every_stage_and_what_cannot_scale() -> None:
    (pipeline,) = rendered().of("Pipeline").values()
    stages = {one["name"]: one for one in pipeline["spec"]["stages"]}
    assert [stages[name]["maxReplicas"] for name in STAGES] == [1, 10, 10, 1]
    assert [stages[name].get("upstream", []) for name in STAGES] == [[], ["gateway"], ["agent"], ["exec"]]
    assert "lagMs" not in stages["gateway"].get("slas", {})


def test_the_operator_writes_scale_status_and_events_and_nothing_else() -> None:
    roles = rendered().of("Role")
    assert set(roles) == {"rl-ringline-operator", "rl-ringline-operator-lease"}
    written = {
        (resource, *rule.get("resourceNames", ()))
        for role in roles.values()
        for rule in role["rules"]
        for resource in rule["resources"]
        if set(rule["verbs"]) - {"get", "list", "watch"}
    }
    assert written == {
        ("pipelines/status",), ("events",), ("leases",),
        ("leases", "ringline-operator", "ringline-operator-rl-ringline"),
        ("statefulsets/scale", *(f"rl-ringline-{name}" for name in STAGES)),
    }  # fmt: skip


def test_a_role_is_made_in_each_watched_namespace() -> None:
    objects = rendered({"operator.watchNamespaces": ["other"]})
    for kind in ("Role", "RoleBinding"):
        made = {
            (one["metadata"]["namespace"], one["metadata"]["name"]) for one in objects if one["kind"] == kind
        }
        assert made == {
            (namespace, f"rl-ringline-operator{suffix}")
            for namespace in ("trading", "other")
            for suffix in ("", "-lease")
        }
    for role in (one for one in objects if one["kind"] == "Role"):
        leases = ["ringline-operator", "ringline-operator-rl-ringline"]
        named = [rule["resources"] for rule in role["rules"] if rule.get("resourceNames") == leases]
        assert named == ([["leases"]] if role["metadata"]["name"].endswith("-lease") else [])


def test_without_an_operator_there_is_no_right_of_one() -> None:
    objects = rendered({"operator.enabled": False})
    assert objects.of("Role") == objects.of("RoleBinding") == {}
    assert set(objects.of("ServiceAccount")) == {"rl-ringline-pipeline"}


def test_each_release_has_an_operator_for_its_own_pipeline() -> None:
    objects = rendered()
    [container] = objects.of("Deployment")["rl-ringline-operator"]["spec"]["template"]["spec"]["containers"]
    [pipeline] = objects.of("Pipeline").values()
    assert f"--name={pipeline['spec']['operator']}" in container["args"]
    assert pipeline["spec"]["operator"] == "rl-ringline"


def test_volumes_of_gateway_and_audit_outlive_everything() -> None:
    objects = rendered()
    for name in ("gateway", "audit"):
        spec = objects.stage(name)["spec"]
        assert spec["persistentVolumeClaimRetentionPolicy"] == {
            "whenDeleted": "Retain",
            "whenScaled": "Retain",
        }
        assert [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]] == ["data"]
    for secret in objects.of("Secret").values():
        assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_a_change_of_the_configuration_restarts_the_pods_and_nothing_else_does() -> None:
    def checksum(objects: Objects) -> Any:
        return objects.stage("exec")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

    assert checksum(rendered()) == checksum(rendered({"exec.minReplicas": 2}))
    assert checksum(rendered()) != checksum(rendered({"config.links.credit": 128}))


def test_every_worker_has_the_keys_of_the_links_where_the_configuration_says() -> None:
    objects = rendered()
    file = resolve(objects.configuration()).links.key_file
    folder, _, key = file.rpartition("/")
    assert len(base64.b64decode(objects.of("Secret")["rl-ringline-links"]["data"][key])) >= 64
    for name in STAGES:
        pod = objects.stage(name)["spec"]["template"]["spec"]
        (volume,) = [one for one in pod["volumes"] if one["name"] == "links"]
        assert volume["secret"]["secretName"] == "rl-ringline-links"
        for worker in workers_of(objects.stage(name)):
            assert {"name": "links", "mountPath": folder, "readOnly": True} in worker["volumeMounts"]


def test_a_throttle_of_one_symbol_is_counted_by_any_number_of_agents() -> None:
    own: list[dict[str, object]] = [
        {"name": "each", "max_trades": 5, "per": "symbol"},
        {"name": "one", "max_trades": 5, "per": "global", "scope": {"symbol": "K"}},
    ]
    objects = rendered({"config.trading.throttles": own, "agent.workers": 2})
    assert resolve(objects.configuration()).agent.max_replicas == 10


def test_wide_throttles_of_several_agents_are_counted_in_redis() -> None:
    wide = [{"name": "desk", "max_trades": 5, "per": "global"}]
    objects = rendered(
        {
            "config.agent.scopes": "redis",
            "config.trading.throttles": wide,
            "agent.redis.existingSecret": "scopes",
        }
    )
    config = resolve(objects.configuration())
    assert config.agent.max_replicas == 10
    (worker,) = objects.stage("agent")["spec"]["template"]["spec"]["containers"]
    (url,) = [one for one in worker["env"] if one["name"] == config.agent.scopes_url_env]
    assert url["valueFrom"]["secretKeyRef"] == {"name": "scopes", "key": "url"}
    alone = resolve(rendered({"config.trading.throttles": wide}).configuration())
    assert alone.agent.max_replicas == 1


def test_postgres_gets_its_dsn_from_the_secret() -> None:
    scenario = next(path for path in SCENARIOS if path.stem.startswith("postgres"))
    for container in rendered(scenario=scenario).stage("audit")["spec"]["template"]["spec"]["containers"]:
        (dsn,) = [one for one in container["env"] if one["name"] == "RINGLINE_AUDIT_DSN"]
        assert dsn["valueFrom"]["secretKeyRef"] == {"name": "audit-db", "key": "url"}


@each_scenario
def test_the_feed_is_in_every_audit_pod_behind_tokens(scenario: Path) -> None:
    objects = rendered(scenario=scenario)
    feed = resolve(objects.configuration()).feed
    pod = objects.stage("audit")["spec"]["template"]["spec"]
    named = {one["name"]: one for one in pod["containers"]}
    assert ("feed" in named) is feed.enabled is ("feed" in _ports(objects, "-feed"))
    if not feed.enabled:
        return
    for secret in (one for name, one in objects.of("Secret").items() if name.endswith("-feed")):
        read, control = (base64.b64decode(secret["data"][name]) for name in _names(feed))
        assert SharedKey(read, "read").is_token(read)
        assert read != control
    folder = feed.read_token_files[0].rpartition("/")[0]
    assert {"name": "feed", "mountPath": folder, "readOnly": True} in named["feed"]["volumeMounts"]
    assert _ports(objects, "-feed")["feed"] == "feed"


def test_the_page_asks_the_collectors_of_every_pod() -> None:
    objects = rendered({"networkPolicy.metricsFrom": [{"namespaceSelector": {}}]})
    names = resolve(objects.configuration()).feed.collector_names
    services = [objects.of("Service")[name] for name in names]
    assert {one["spec"]["selector"]["app.kubernetes.io/component"] for one in services} == set(STAGES)
    assert {one["spec"]["clusterIP"] for one in services} == {"None"}, "a name has the addresses of all pods"
    for stage in STAGES:
        rules = objects.of("NetworkPolicy")[f"rl-ringline-{stage}"]["spec"]["ingress"]
        (peers,) = [rule["from"] for rule in rules if rule["ports"][0]["port"] == 9464]
        labels = [one.get("podSelector", {}).get("matchLabels", {}) for one in peers]
        assert {"operator", "audit"} <= {one.get("app.kubernetes.io/component") for one in labels}


def test_the_page_asks_the_operator_and_may_reach_it() -> None:
    objects = rendered({"networkPolicy.metricsFrom": [{"namespaceSelector": {}}], "operator.port": 8181})
    url = urlsplit(resolve(objects.configuration()).feed.operator_url)
    service = objects.of("Service")[str(url.hostname)]
    assert service["spec"]["ports"][0]["port"] == url.port == 8181
    (pipeline,) = objects.of("Pipeline").values()
    assert url.path == f"/v1/pipelines/{pipeline['metadata']['namespace']}/{pipeline['metadata']['name']}"
    pod = objects.of("Deployment")["rl-ringline-operator"]["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (rule,) = objects.of("NetworkPolicy")["rl-ringline-operator"]["spec"]["ingress"]
    labels = [one.get("podSelector", {}).get("matchLabels", {}) for one in rule["from"]]
    assert "audit" in {one.get("app.kubernetes.io/component") for one in labels}
    without = rendered({"operator.enabled": False})
    assert resolve(without.configuration()).feed.operator_url == ""
    assert "rl-ringline-operator" not in {*without.of("Service"), *without.of("NetworkPolicy")}


def test_workers_tell_of_their_links_where_their_collector_looks() -> None:
    objects = rendered()
    folder = resolve(objects.configuration()).telemetry.links_directory
    for stage in STAGES:
        for one in containers(objects.stage(stage)["spec"]["template"]["spec"]):
            mounted = {mount["mountPath"]: mount["name"] for mount in one["volumeMounts"]}
            assert mounted[folder.rpartition("/")[0]] == "shm"


def test_the_feed_can_be_left_out() -> None:
    objects = rendered({"feed.enabled": False})
    assert not resolve(objects.configuration()).feed.enabled
    assert not [name for kind in ("Service", "Secret") for name in objects.of(kind) if name.endswith("-feed")]
    assert [one["name"] for one in objects.stage("audit")["spec"]["template"]["spec"]["containers"]] == [
        "worker-0"
    ]


def test_checkpoints_are_signed_by_a_key_that_the_audit_takes(tmp_path: Path) -> None:
    objects = rendered({"config.audit.origin": "desk/audit"})
    file = Path(resolve(objects.configuration()).audit.signing_key_file)
    text = base64.b64decode(objects.of("Secret")["rl-ringline-audit"]["data"][file.name])
    (tmp_path / "key").write_bytes(text)
    assert SigningKey.load(tmp_path / "key", "desk/audit").verify_key.name == "desk/audit"
    (worker,) = workers_of(objects.stage("audit"))
    assert str(file.parent) in {mount["mountPath"] for mount in worker["volumeMounts"]}


def test_an_audit_is_asked_by_every_stage_before_it_and_its_feed_by_whom_one_names() -> None:
    objects = rendered({"networkPolicy.feedFrom": [{"namespaceSelector": {}}]})
    rules = objects.of("NetworkPolicy")["rl-ringline-audit"]["spec"]["ingress"]
    peers = {rule["ports"][0]["port"]: rule.get("from", []) for rule in rules}
    asking = {one["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for one in peers[8005]}
    assert asking == {"gateway", "agent", "exec"}
    assert {"namespaceSelector": {}} in peers[8006]
    assert peers[9005] == [], "the kubelet's probes come from anywhere"
