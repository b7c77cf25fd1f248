"""`ringline loadtest … --cluster`: the test as a Job beside a release of the chart, by kubectl.

The Job is the chart's (`loadtest.enabled`), made from the release's own gateway: the same image,
configuration and secrets, and the token that may read the audit's HTTP. The image must hold the load tests
(`EXTRAS="… loadtests"`).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import EXIT_MISSING, MissingError

_COMPONENT = "app.kubernetes.io/component"
SELECTOR = f"app.kubernetes.io/part-of=ringline,{_COMPONENT} in (gateway,audit)"
KUBECTL_S = 30.0
START_S = 180
"""Until the pod runs: an image may have to be pulled."""
KEPT = ("config", "webhooks")
"""Volumes of the gateway that the Job mounts too."""
FEED = "feed"
"""The container of the audit's HTTP, and the volume with its tokens."""
GATEWAY_PORT = 8001
FEED_PORT = 8006
COLLECTOR_PORT = 9464
_TMP = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - in the pod, of its own


class Reads(NamedTuple):
    """How the Job reads the audit."""

    url: str
    token_file: str
    mount: Mapping[str, Any]
    volume: Mapping[str, Any]
    """With that token and no other, for who reads controls nothing."""


def reads_of(audit: Mapping[str, Any], configuration: Mapping[str, Any]) -> Reads | None:
    """From the audit's StatefulSet and the release's configuration; None: the audit has no HTTP. Pure."""
    pod, files = audit["spec"]["template"]["spec"], configuration.get("feed", {}).get("read_token_files", ())
    feed = next((one for one in pod["containers"] if one["name"] == FEED), None)
    mounts = feed.get("volumeMounts", ()) if feed is not None else ()
    mount = next((one for one in mounts if one["name"] == FEED), None)
    volume = next((one for one in pod.get("volumes", ()) if one["name"] == FEED), None)
    if feed is None or mount is None or volume is None or not files:
        return None
    port = next((one["containerPort"] for one in feed.get("ports", ())), FEED_PORT)
    key = files[0].rpartition("/")[2]
    secret = {**volume["secret"], "items": [{"key": key, "path": key}]}
    url = f"http://{audit['spec']['serviceName']}:{port}"
    return Reads(url, files[0], mount, {"name": FEED, "secret": secret})


def job_of(
    gateway: Mapping[str, Any], name: str, words: Sequence[str], reads: Reads | None = None
) -> dict[str, Any]:
    """The Job's manifest from the gateway's StatefulSet; `words` follow `ringline loadtest`. Pure."""
    meta, pod = gateway["metadata"], gateway["spec"]["template"]["spec"]
    container = pod["containers"][0]
    labels = {**meta["labels"], "app.kubernetes.io/component": "loadtest"}
    port = next((one["containerPort"] for one in container.get("ports", ())), GATEWAY_PORT)
    scheme = container.get("readinessProbe", {}).get("httpGet", {}).get("scheme", "HTTP").lower()
    host = gateway["spec"]["serviceName"]
    mounts = [one for one in container.get("volumeMounts", ()) if one["name"] in KEPT]
    volumes = [one for one in pod.get("volumes", ()) if one["name"] in KEPT]
    args = [
        "ringline", "loadtest", *words, "--json", "--config=/etc/ringline/ringline.json",
        f"--url={scheme}://{host}:{port}",
        f"--collector=http://{host}:{COLLECTOR_PORT}",
    ]  # fmt: skip
    if reads is not None:
        args += [f"--audit={reads.url}", f"--token-file={reads.token_file}"]
        mounts.append(dict(reads.mount))
        volumes.append(dict(reads.volume))
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": meta["namespace"], "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 3600,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": pod.get("securityContext", {}),
                    "imagePullSecrets": pod.get("imagePullSecrets", []),
                    "containers": [
                        {
                            "name": "loadtest",
                            "image": container["image"],
                            "imagePullPolicy": container.get("imagePullPolicy", "IfNotPresent"),
                            "workingDir": "/tmp",  # noqa: S108
                            "args": args,
                            "securityContext": container.get("securityContext", {}),
                            "volumeMounts": [*mounts, _TMP],
                        }
                    ],
                    "volumes": [*volumes, {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}],
                },
            },
        },
    }


def run_job(words: Sequence[str], run: str, folder: Path, say: Callable[[str], None]) -> int:
    """Runs it in the current context and namespace, shows what it says, and keeps its report in `folder`.

    Returns the test's own exit code. Raises MissingError without kubectl, a release or a pod.
    """
    sets = json.loads(_kubectl("get", "statefulsets", "--selector", SELECTOR, "--output", "json"))["items"]
    found = [one for one in sets if one["metadata"]["labels"].get(_COMPONENT) == "gateway"]
    if len(found) != 1:
        names = ", ".join(one["metadata"]["name"] for one in found) or "none"
        raise MissingError(f"--cluster: one release's gateway is wanted in this namespace; here are: {names}")
    name = f"ringline-loadtest-{run}"
    audit = next((one for one in sets if one["metadata"]["labels"].get(_COMPONENT) == "audit"), None)
    reads = reads_of(audit, _configuration(found[0])) if audit is not None else None
    _kubectl("create", "--filename", "-", given=json.dumps(job_of(found[0], name, words, reads)))
    say(f"job {name} in namespace {found[0]['metadata']['namespace']}")
    try:
        _kubectl(
            "wait", "--for=jsonpath={.status.ready}=1", f"job/{name}", f"--timeout={START_S}s",
            within_s=START_S + KUBECTL_S,
        )  # fmt: skip
        text = _follow(name, say)
        (folder / "loadtest.log").write_text(text, encoding="utf-8")
        if (report := report_in(text)) is not None:
            (folder / "report.json").write_text(report, encoding="utf-8")
            say(f"report: {folder / 'report.json'}")
        return _exit_code(name)
    finally:
        _kubectl("delete", f"job/{name}", "--wait=false")


def _configuration(gateway: Mapping[str, Any]) -> dict[str, Any]:
    """What the release's pods are configured by."""
    volumes = gateway["spec"]["template"]["spec"].get("volumes", ())
    name = next((one["configMap"]["name"] for one in volumes if "configMap" in one), "")
    if not name:
        return {}
    texts = json.loads(_kubectl("get", "configmap", name, "--output", "json")).get("data", {})
    found: dict[str, Any] = json.loads(texts.get("ringline.json", "{}"))
    return found


def report_in(log: str) -> str | None:
    """The report, which is printed as one document between lines of braces."""
    begin = log.rfind("\n{\n")
    end = log.find("\n}\n", begin)
    if end < 0:
        return None
    text = log[begin + 1 : end + 3]
    try:
        json.loads(text)
    except ValueError:
        return None
    return text


def _follow(name: str, say: Callable[[str], None]) -> str:
    """Everything that it says; the report itself is not shown."""
    words = ("kubectl", "logs", "--follow", f"job/{name}")
    lines = []
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace"
    ) as child:
        assert child.stdout is not None
        try:
            shown = True
            for line in child.stdout:
                lines.append(line)
                shown = shown and line != "{\n"
                if shown:
                    say(line.rstrip())
        except BaseException:
            child.terminate()
            raise
    return "".join(lines)


def _exit_code(name: str) -> int:
    pods = json.loads(_kubectl("get", "pods", "--selector", f"job-name={name}", "--output", "json"))["items"]
    for pod in pods:
        for status in pod.get("status", {}).get("containerStatuses", ()):
            if (ended := status.get("state", {}).get("terminated")) is not None:
                return int(ended["exitCode"])
    return EXIT_MISSING


def _kubectl(*words: str, given: str | None = None, within_s: float = KUBECTL_S) -> str:
    try:
        done = subprocess.run(
            ("kubectl", *words), input=given, capture_output=True, text=True, timeout=within_s, check=False
        )
    except FileNotFoundError:
        raise MissingError("--cluster: kubectl is not on PATH") from None
    except subprocess.TimeoutExpired:
        raise MissingError(f"--cluster: kubectl {words[0]}: took more than {within_s:g} s") from None
    if done.returncode:
        raise MissingError(f"--cluster: kubectl {words[0]}: {' '.join(done.stderr.split())[:300]}")
    return done.stdout
