"""`--cluster` with a kubectl that is a script: what it is told, and what becomes of its answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.app import run
from pipeline.cli.cluster_job import job_of, reads_of, report_in

GATEWAY: dict[str, Any] = {
    "metadata": {"name": "rl-gateway", "namespace": "trading", "labels": {
        "app.kubernetes.io/instance": "rl", "app.kubernetes.io/component": "gateway"}},
    "spec": {"serviceName": "rl-gateway-pods", "template": {"spec": {
        "securityContext": {"runAsUser": 10001},
        "containers": [{
            "name": "worker-0", "image": "ringline:dev", "ports": [{"name": "http-0", "containerPort": 8001}],
            "securityContext": {"readOnlyRootFilesystem": True},
            "readinessProbe": {"httpGet": {"scheme": "HTTPS"}},
            "volumeMounts": [
                {"name": "config", "mountPath": "/etc/ringline/ringline.json", "subPath": "ringline.json"},
                {"name": "data", "mountPath": "/data"},
                {"name": "webhooks", "mountPath": "/etc/ringline/webhooks"},
            ]}],
        "volumes": [
            {"name": "config", "configMap": {"name": "rl-config"}}, {"name": "shm"}, {"name": "webhooks"}
        ]}}},
}  # fmt: skip
AUDIT: dict[str, Any] = {
    "metadata": {"name": "rl-audit", "namespace": "trading", "labels": {
        "app.kubernetes.io/instance": "rl", "app.kubernetes.io/component": "audit"}},
    "spec": {"serviceName": "rl-audit", "template": {"spec": {
        "containers": [
            {"name": "worker-0"},
            {"name": "feed", "ports": [{"name": "feed", "containerPort": 8006}],
             "volumeMounts": [{"name": "feed", "mountPath": "/etc/ringline/feed", "readOnly": True}]},
        ],
        "volumes": [{"name": "feed", "secret": {"secretName": "rl-feed", "defaultMode": 288}}]}}},
}  # fmt: skip
CONFIGURATION = {"feed": {"read_token_files": ["/etc/ringline/feed/read.token"]}}
KUBECTL = """#!/bin/sh
echo "$@" >> "$KUBECTL_DIARY"
case "$1 $2" in
  "get statefulsets") cat "$KUBECTL_SETS" ;;
  "get configmap") cat "$KUBECTL_SETS.config" ;;
  "get pods") echo '{"items":[{"status":{"containerStatuses":[{"state":{"terminated":{"exitCode":1}}}]}}]}' ;;
  "create --filename") cat > "$KUBECTL_DIARY.job" ;;
  "logs --follow") printf 'draining\\n{\\n "ok": false\\n}\\n' ;;
  "wait "*) [ -z "$KUBECTL_STUCK" ] || { echo "timed out waiting" >&2; exit 1; } ;;
esac
"""


@pytest.fixture
def diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What kubectl was told."""
    script = tmp_path / "bin" / "kubectl"
    script.parent.mkdir()
    script.write_text(KUBECTL)
    script.chmod(0o755)
    (tmp_path / "sets").write_text(json.dumps({"items": [AUDIT, GATEWAY]}))
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    monkeypatch.setenv("KUBECTL_DIARY", str(tmp_path / "diary"))
    texts = {"ringline.json": json.dumps({"feed": {"read_token_files": ["/f/read"]}})}
    (tmp_path / "sets.config").write_text(json.dumps({"data": texts}))
    monkeypatch.setenv("KUBECTL_SETS", str(tmp_path / "sets"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "diary"


def test_the_job_is_the_gateways_own_in_all_but_its_command() -> None:
    job = job_of(GATEWAY, "lt-1", ["smoke", "--time-scale=0.1"])
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "ringline:dev"
    assert container["args"] == [
        "ringline", "loadtest", "smoke", "--time-scale=0.1", "--json", "--config=/etc/ringline/ringline.json",
        "--url=https://rl-gateway-pods:8001", "--collector=http://rl-gateway-pods:9464",
    ]  # fmt: skip
    assert [one["name"] for one in container["volumeMounts"]] == ["config", "webhooks", "tmp"]
    assert [one["name"] for one in pod["volumes"]] == ["config", "webhooks", "tmp"]
    assert pod["securityContext"] == {"runAsUser": 10001}
    assert job["metadata"]["labels"]["app.kubernetes.io/component"] == "loadtest"
    assert job["metadata"]["namespace"] == "trading"


def test_the_job_reads_the_audit_with_the_token_that_may_and_no_other() -> None:
    job = job_of(GATEWAY, "lt-1", ["smoke"], reads_of(AUDIT, CONFIGURATION))
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {"--audit=http://rl-audit:8006", "--token-file=/etc/ringline/feed/read.token"} <= set(
        container["args"]
    )
    assert {"name": "feed", "mountPath": "/etc/ringline/feed", "readOnly": True} in container["volumeMounts"]
    (volume,) = [one for one in pod["volumes"] if one["name"] == "feed"]
    assert volume["secret"] == {
        "secretName": "rl-feed", "defaultMode": 288, "items": [{"key": "read.token", "path": "read.token"}]
    }  # fmt: skip


def test_an_audit_without_http_is_not_read() -> None:
    silent = json.loads(json.dumps(AUDIT))
    silent["spec"]["template"]["spec"]["containers"].pop()
    assert reads_of(silent, CONFIGURATION) is None
    assert reads_of(AUDIT, {}) is None


def test_the_tests_exit_code_and_report_are_passed_on_and_the_job_is_removed(
    diary: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["loadtest", "spike", "--cluster", "--rate", "300"]) == 1
    (report,) = (tmp_path / "runs").glob("*/report.json")
    assert json.loads(report.read_text()) == {"ok": False}
    assert "draining" in capsys.readouterr().out
    sent = json.loads((tmp_path / "diary.job").read_text())
    args = sent["spec"]["template"]["spec"]["containers"][0]["args"]
    assert {"--rate=300", "--audit=http://rl-audit:8006", "--token-file=/f/read"} <= set(args)
    assert diary.read_text().splitlines()[-1] == f"delete job/{sent['metadata']['name']} --wait=false"


def test_a_pod_that_does_not_start_is_missing_and_leaves_no_job(
    diary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECTL_STUCK", "1")
    assert run(["loadtest", "smoke", "--cluster"]) == 3
    assert "kubectl wait: timed out waiting" in capsys.readouterr().err
    assert diary.read_text().splitlines()[-1].startswith("delete job/")


@pytest.mark.parametrize("count", [0, 2])
def test_no_release_and_several_are_told(
    diary: Path, tmp_path: Path, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sets").write_text(json.dumps({"items": [GATEWAY] * count}))
    assert run(["loadtest", "smoke", "--cluster"]) == 3
    assert ("here are: rl-gateway, rl-gateway" if count else "here are: none") in capsys.readouterr().err
    assert "create" not in diary.read_text()


def test_without_kubectl_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert run(["loadtest", "smoke", "--cluster"]) == 3
    assert "kubectl is not on PATH" in capsys.readouterr().err


@pytest.mark.parametrize("log", ["", "draining\n", "a\n{\n", "a\n{\n no json\n}\n"])
def test_a_log_without_a_report_has_none(log: str) -> None:
    assert report_in(log) is None
