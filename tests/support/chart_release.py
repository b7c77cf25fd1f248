"""A release of the chart on a real cluster, in a namespace of its own, and what tests ask of it.

Needs KUBECONFIG, `helm` and `kubectl`, and nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "ringline"
IMAGE = os.environ.get("RINGLINE_TEST_IMAGE", "ringline:dev")
NAME = "rl"
STAGES = ("gateway", "agent", "exec", "audit")
CONFIG = "--config=/etc/ringline/ringline.json"
SMALL = tuple(f"{one}.resources.requests.cpu=10m" for one in (*STAGES, "collector", "feed", "operator"))
"""So that many pods, and several releases at a time, fit on the node of a small machine."""

T = TypeVar("T")


def why_not() -> str:
    """Why the chart cannot be tried on a cluster here; empty when it can."""
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG is not set"
    for program in ("helm", "kubectl"):
        if shutil.which(program) is None:
            return f"{program} is not on PATH"
    try:
        nodes = _nodes()
    except AssertionError as error:
        return f"the cluster cannot be reached: {str(error)[:200]}"
    if not nodes:
        return "the cluster has no node to run pods on"
    if "RINGLINE_TEST_IMAGE" not in os.environ and not nodes_have(IMAGE):
        return f"image {IMAGE} is on no node (`make image` builds it; RINGLINE_TEST_IMAGE names another)"
    return ""


def nodes_have(image: str) -> bool:
    """Whether some node of the cluster has this image."""
    images = [one for node in _nodes() for one in node["status"].get("images", ())]
    return any(name.endswith(f"/{image}") for one in images for name in one.get("names") or ())


def _nodes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("kubectl", "get", "nodes", "-o", "json"))["items"]
    return found


def run(*command: str, stdin: str | None = None, timeout_s: float = 180) -> str:
    """A program's output. Raises AssertionError with what it said when it fails."""
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def until(what: str, ask: Callable[[], T], within_s: float = 150) -> T:
    """The first answer that is true; what fails is asked again too, as in a container that is not there yet.
    Raises AssertionError when there is none in time."""
    give_up_s = time.monotonic() + within_s
    said = ""
    while True:
        try:
            found = ask()
            if found:
                return found
        except AssertionError as error:
            said = str(error)
        assert time.monotonic() < give_up_s, f"not within {within_s} s: {what}; {said}"
        time.sleep(0.2)


class Release:
    """The chart as `rl` in one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.installed_s = 0.0

    # ---- programs

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_s: float = 180) -> str:
        return run("kubectl", "--namespace", self.namespace, *arguments, stdin=stdin, timeout_s=timeout_s)

    def helm(self, *arguments: str, timeout_s: float = 300) -> str:
        return run("helm", "--namespace", self.namespace, *arguments, timeout_s=timeout_s)

    def get(self, *what: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", *what, "-o", "json"))
        return found

    # ---- life

    def make_namespace(self) -> None:
        """One that refuses pods below the "restricted" standard."""
        run("kubectl", "create", "namespace", self.namespace)
        run("kubectl", "label", "namespace", self.namespace, "pod-security.kubernetes.io/enforce=restricted")

    def drop_namespace(self) -> None:
        run("kubectl", "delete", "namespace", self.namespace, "--timeout=150s")

    def install(self, *sets: str) -> float:
        """Seconds until all of it was ready."""
        started_s = time.monotonic()
        self.helm("install", NAME, str(CHART), *_sets(sets), "--wait", "--timeout=240s")
        return time.monotonic() - started_s

    def upgrade(self, *sets: str) -> None:
        self.helm("upgrade", NAME, str(CHART), *_sets(sets))
        self.rolled_out()

    def rolled_out(self) -> None:
        for stage in STAGES:
            which = f"statefulset/{NAME}-ringline-{stage}"
            self.kubectl("rollout", "status", which, "--timeout=240s", timeout_s=300)

    def rights(self, component: str) -> list[str]:
        """What the service account of a component may do in this namespace that not every account may, a line
        each: resources, names and verbs."""

        def told(account: str) -> set[str]:
            whose = f"--as=system:serviceaccount:{self.namespace}:{account}"
            lines = self.kubectl("auth", "can-i", "--list", "--no-headers", whose).splitlines()
            return {" ".join(line.split()) for line in lines}

        return sorted(told(f"{NAME}-ringline-{component}") - told("nobody"))

    # ---- stages

    @staticmethod
    def pod(stage: str, ordinal: int = 0) -> str:
        return f"{NAME}-ringline-{stage}-{ordinal}"

    def replicas(self, stage: str) -> int:
        return int(self.get("statefulset", f"{NAME}-ringline-{stage}")["spec"]["replicas"])

    def scale(self, stage: str, replicas: int) -> None:
        """Asks for so many and waits until there are so many, no more and no fewer, and ready."""
        self.kubectl("scale", f"statefulset/{NAME}-ringline-{stage}", f"--replicas={replicas}")

        def there() -> bool:
            pods = self.get("pods", "-l", f"app.kubernetes.io/component={stage}")["items"]
            return len(pods) == replicas and all(map(is_ready, pods))

        until(f"{replicas} of {stage}", there)

    def in_pod(self, pod: str, *command: str) -> str:
        return self.kubectl("exec", pod, "-c", "worker-0", "--", *command)

    def handled(self, stage: str, ordinal: int) -> int:
        """Messages that this replica has done within the last minute, as its own collector tells."""
        script = (
            "import json, urllib.request as r;"
            "s = json.load(r.urlopen('http://127.0.0.1:9464/v1/snapshot', timeout=5));"
            f"print(sum(c['handled'] for g in s['stages'] if g['stage'] == '{stage}'"
            " for c in g['counts'] if c['window_s'] == 60))"
        )
        return int(self.in_pod(self.pod(stage, ordinal), "python", "-c", script))

    # ---- events

    def audited(self) -> list[str]:
        """The webhook-ids of all rows, in the order of the chain."""
        ids: list[str] = []
        after = 0
        while True:
            text = self.in_pod(
                self.pod("audit"), "ringline", "audit", "query", "--json", "--limit=10000",
                f"--after={after}", CONFIG,
            )  # fmt: skip
            rows = [json.loads(line) for line in text.splitlines()]
            if not rows:
                return ids
            ids += [row["webhook_id"] for row in rows]
            after = rows[-1]["seq"]

    def verify(self) -> None:
        """Raises AssertionError unless every row is as it was written."""
        self.in_pod(self.pod("audit"), "ringline", "audit", "verify", CONFIG)

    def send(self, webhook_id: str) -> str:
        return self.in_pod(
            self.pod("gateway"), "ringline", "send", CONFIG, "--url", self.url,
            "--symbol=AAPL", "--side=close", "--id", webhook_id,
        )  # fmt: skip

    @property
    def url(self) -> str:
        return f"http://{NAME}-ringline-gateway:8001"


@contextmanager
def installed(name: str, *sets: str) -> Iterator[Release]:
    """A release in a namespace of its own, and neither afterwards."""
    release = Release(name)
    release.make_namespace()
    try:
        release.install(*sets)
        yield release
    finally:
        release.drop_namespace()


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _sets(sets: tuple[str, ...]) -> list[str]:
    repository, _, tag = IMAGE.rpartition(":")
    own = (f"image.repository={repository}", f"image.tag={tag}", *SMALL)
    return [word for text in (*own, *sets) for word in ("--set", text)]
