"""Installed, one signed webhook, `helm test`, upgraded under load, rolled back under load, uninstalled."""

from __future__ import annotations

import base64
import json

import pytest
from chart_release import CONFIG, NAME, STAGES, Release, until
from left_behind import documented, left_behind
from load_pod import Load

READY_WITHIN_S = 30


@pytest.mark.slow
def test_it_is_ready_within_half_a_minute(release: Release) -> None:
    print(f"helm install → all Ready: {release.installed_s:.1f} s")
    assert release.installed_s <= READY_WITHIN_S


def test_a_signed_webhook_is_audited_exactly_once_also_when_it_is_repeated(release: Release) -> None:
    assert "202" in release.send("msg-once")
    assert "202" in release.send("msg-once")
    until("it is audited", lambda: "msg-once" in release.audited())
    assert release.audited().count("msg-once") == 1
    release.verify()


def test_helm_test_is_green(release: Release) -> None:
    assert "Phase:          Succeeded" in release.helm("test", NAME, "--timeout=240s")


def test_no_container_was_restarted_and_each_says_how_it_is(release: Release) -> None:
    pods = release.get("pods", "-l", f"app.kubernetes.io/instance={NAME}")["items"]
    assert len(pods) == len(STAGES)
    for pod in pods:
        statuses = [*pod["status"]["containerStatuses"], *pod["status"]["initContainerStatuses"]]
        assert [status["restartCount"] for status in statuses] == [0] * len(statuses)
    for stage in STAGES:
        release.handled(stage, 0)  # its own collector answers


def test_the_pods_may_do_nothing_with_the_api(release: Release) -> None:
    said = release.in_pod(release.pod("agent"), "sh", "-c", "ls /var/run/secrets/kubernetes.io 2>&1 || true")
    assert "No such file" in said


def test_the_pods_account_has_no_rights_that_not_everybody_has(release: Release) -> None:
    assert release.rights("pipeline") == []


def test_the_audit_is_read_over_http_with_a_token_and_not_without(release: Release) -> None:
    tokens = release.get("secret", f"{NAME}-ringline-feed")["data"]
    url = f"http://{NAME}-ringline-feed:8006/v1/rows?order=desc&limit=1"

    def asked(token: str) -> str:
        script = (
            "import sys, urllib.error, urllib.request as r\n"
            "request = r.Request(sys.argv[1], headers={'authorization': f'Bearer {sys.argv[2]}'})\n"
            "try: print(r.urlopen(request, timeout=5).read().decode())\n"
            "except urllib.error.HTTPError as error: print(error.code)"
        )
        return release.in_pod(release.pod("gateway"), "python", "-c", script, url, token)

    for token in tokens.values():
        assert json.loads(asked(base64.b64decode(token).decode()))["rows"]
    assert asked("another").strip() == "401"


def test_checkpoints_are_signed_by_the_kept_key(release: Release) -> None:
    audit = release.pod("audit")
    until(
        "a checkpoint verifies",
        lambda: release.in_pod(audit, "ringline", "audit", "verify", "--checkpoint=latest", CONFIG),
    )
    made = release.in_pod(audit, "sh", "-c", "ls /data/secrets 2>&1 || true")
    assert "audit.key" not in made


def test_nothing_in_the_image_installs_packages(release: Release) -> None:
    name = r"(pip|setuptools|wheel|ensurepip|pkg_resources|_distutils_hack)"
    script = (
        "import os, re\n"
        f"wanted = re.compile(r'{name}([-.0-9].*)?')\n"
        "for folder, folders, files in os.walk('/'):\n"
        "    folders[:] = [one for one in folders if not os.path.ismount(os.path.join(folder, one))]\n"
        "    for one in (*folders, *files):\n"
        "        if wanted.fullmatch(one): print(os.path.join(folder, one))"
    )
    found = release.in_pod(release.pod("agent"), "python", "-c", script).splitlines()
    # Where a build without a registry's network mounts its settings; empty, and no program.
    assert [path for path in found if path != "/etc/pip.conf"] == []
    for program in ("/opt/ringline/bin/python", "/usr/local/bin/python3"):
        script = "import importlib.util as u; print([n for n in ('pip', 'ensurepip') if u.find_spec(n)])"
        assert release.in_pod(release.pod("agent"), program, "-c", script).strip() == "[]"


@pytest.mark.slow
def test_upgrade_and_rollback_under_load_lose_nothing(release: Release) -> None:
    secret = release.get("secret", f"{NAME}-ringline-webhooks")["data"]
    with Load(release, "load-upgrade") as load:
        release.upgrade("operator.enabled=false", "config.links.credit=128", "exec.replicas=2")
        load.more()
        assert release.replicas("exec") == 2
        release.helm("rollback", NAME, "1")
        release.rolled_out()
        load.more()
    assert release.get("secret", f"{NAME}-ringline-webhooks")["data"] == secret
    until("all is audited", lambda: set(load.accepted) <= set(release.audited()))
    rows = [row for row in release.audited() if row.startswith(load.name)]
    assert sorted(rows) == sorted(load.accepted)
    release.verify()
    print(f"upgrade and rollback: {len(load.accepted)} accepted = audited; answers {load.answers}")


def test_an_uninstall_leaves_volumes_and_the_secret_for_the_next_install(
    release: Release,
) -> None:
    secret = release.get("secret", f"{NAME}-ringline-webhooks")["data"]
    rows = release.audited()
    release.helm("uninstall", NAME, "--wait", "--timeout=240s")
    until("the pods are gone", lambda: not release.get("pods")["items"])
    kept = {
        f"Secret/{NAME}-ringline-webhooks",
        f"Secret/{NAME}-ringline-links",
        f"Secret/{NAME}-ringline-feed",
        f"Secret/{NAME}-ringline-audit",
        f"PersistentVolumeClaim/data-{NAME}-ringline-gateway-0",
        f"PersistentVolumeClaim/data-{NAME}-ringline-audit-0",
    }
    maybe = {"CustomResourceDefinition/pipelines.ringline.dev", "Lease/ringline-operator"}
    assert left_behind(release) - maybe == kept
    assert left_behind(release) <= documented()
    release.install("operator.enabled=false")
    assert release.get("secret", f"{NAME}-ringline-webhooks")["data"] == secret
    assert base64.b64decode(secret["demo.whsec"]).startswith(b"whsec_")
    assert release.audited()[: len(rows)] == rows
