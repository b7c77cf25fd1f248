"""Whatever values Helm renders, an API server takes: or it would refuse one when others are made.

What Helm itself refuses is in tests/unit/chart/test_refused_objects.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from chart_release import CHART, run
from odd_values import ON, TAKEN
from rendered_chart import helm, set_words

pytestmark = pytest.mark.skipif(
    not (shutil.which("helm") and shutil.which("kubectl")), reason="helm or kubectl is not on PATH"
)
CLASSES = [one["priorityClassName"] for one in TAKEN if "priorityClassName" in one]
OTHERS = ("ServiceMonitor", "PrometheusRule")
"""Kinds that a bare API server does not know."""


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    name = f"ringline-hostile-{os.getpid()}"
    run("kubectl", "apply", "--server-side", "--force-conflicts", "--filename", str(CHART / "crds"))
    run("kubectl", "create", "namespace", name)
    for one in CLASSES:
        run("kubectl", "create", "priorityclass", one, "--value=0")
    try:
        yield name
    finally:
        run("kubectl", "delete", "priorityclass", *CLASSES)
        run("kubectl", "delete", "namespace", name, "--wait=false")


def rendered(namespace: str, values: dict[str, Any], release: str = "rl") -> list[str]:
    """Each object as JSON."""
    done = helm("template", release, str(CHART), "--namespace", namespace, *set_words(values))
    assert done.returncode == 0, done.stderr
    objects = [one for one in yaml.safe_load_all(done.stdout) if one]
    return [json.dumps(one) for one in objects if one["kind"] not in OTHERS]


def refusal(namespace: str, objects: list[str]) -> str:
    """What an API server says against these; empty when it takes them all."""
    done = subprocess.run(
        ["kubectl", "apply", "--namespace", namespace, "--dry-run=server", "--validate=strict", "-f", "-"],
        input="\n".join(objects), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.stderr if done.returncode else ""


@pytest.fixture(scope="module")
def sound(namespace: str) -> frozenset[str]:
    """What the defaults render, with every pod that there may be."""
    objects = rendered(namespace, ON)
    assert refusal(namespace, objects) == ""
    return frozenset(objects)


@pytest.mark.parametrize("values", TAKEN, ids=lambda one: str(one)[:60])
def test_what_is_rendered_is_taken(namespace: str, sound: frozenset[str], values: dict[str, Any]) -> None:
    objects = rendered(namespace, ON | values)
    assert refusal(namespace, [one for one in objects if one not in sound]) == ""


@pytest.mark.parametrize("release", ["123", "true", "1e3"])
def test_so_it_is_whatever_the_release_s_name(namespace: str, release: str) -> None:
    objects = rendered(namespace, ON | {"fullnameOverride": "desk"}, release)
    assert refusal(namespace, objects) == ""
