"""The chart as `helm template` renders it, without a cluster."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "charts" / "ringline"
SCENARIOS = sorted((CHART / "ci").glob("*-values.yaml"))
WHY_NOT = "" if shutil.which("helm") else "helm is not on PATH"


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["helm", *arguments], capture_output=True, text=True, timeout=60, check=False)


@functools.cache
def _rendered(arguments: tuple[str, ...]) -> list[dict[str, Any]]:
    done = helm("template", "rl", str(CHART), "--namespace", "trading", *arguments)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def rendered(
    values: Mapping[str, Any] | None = None, *, scenario: Path | None = None, upgrade: bool = False
) -> Objects:
    """All objects; `values` by their dotted names."""
    arguments = [word for path in (scenario,) if path for word in ("--values", str(path))]
    arguments += set_words(values or {})
    return Objects(_rendered((*arguments, *(("--is-upgrade",) if upgrade else ()))))


def set_words(values: Mapping[str, Any]) -> list[str]:
    """The words by which Helm is given these."""
    return [word for key, value in values.items() for word in ("--set-json", f"{key}={json.dumps(value)}")]


def refused(values: Mapping[str, Any]) -> str:
    """What helm says to values that it must not render."""
    done = helm("template", "rl", str(CHART), *set_words(values))
    assert done.returncode != 0, "it renders"
    return done.stderr


class Objects:
    """Rendered objects, by kind and name."""

    def __init__(self, objects: list[dict[str, Any]]) -> None:
        self._objects = objects

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._objects)

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """name → object."""
        return {one["metadata"]["name"]: one for one in self._objects if one["kind"] == kind}

    def stage(self, name: str) -> dict[str, Any]:
        (found,) = [
            one for one in self.of("StatefulSet").values() if one["metadata"]["name"].endswith(f"-{name}")
        ]
        return found

    def pods(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(whose, pod spec) of everything that runs pods."""
        for one in self._objects:
            if one["kind"] in ("StatefulSet", "Deployment", "Job"):
                yield one["metadata"]["name"], one["spec"]["template"]["spec"]
            elif one["kind"] == "Pod":
                yield one["metadata"]["name"], one["spec"]

    def configuration(self) -> dict[str, Any]:
        (found,) = [one for name, one in self.of("ConfigMap").items() if name.endswith("-config")]
        read: dict[str, Any] = json.loads(found["data"]["ringline.json"])
        return read


def workers_of(stage: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The workers' containers of a StatefulSet."""
    pod = stage["spec"]["template"]["spec"]
    return [one for one in pod["containers"] if one["name"].startswith("worker-")]


def containers(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All of a pod, sidecars too."""
    return [*pod.get("initContainers", ()), *pod["containers"]]
