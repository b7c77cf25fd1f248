"""`helm upgrade --reuse-values` from a chart of before, asked of a real API server; nothing runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart_release import CHART, NAME, STAGES, Release, run

pytestmark = pytest.mark.skipif(
    not (shutil.which("helm") and shutil.which("kubectl")), reason="helm or kubectl is not on PATH"
)

SINCE: dict[str, Any] = {
    "ownEvents": None,
    "valuation": None,
    "tests": None,
    "feed": {"controls": None, "service": {"annotations": None}},
    "gateway": {"preStopSeconds": None, "service": {"nodePort": None}},
    "serviceMonitor": {"gatewayTlsConfig": None, "interval": None},
    "operator": {"upgradeCrds": None, "replicaBudget": None},
    "loadtest": {"persistence": None},
}
"""Values that the chart of before had not."""


def _without(values: dict[str, Any], gone: dict[str, Any]) -> dict[str, Any]:
    left = {key: value for key, value in values.items() if gone.get(key, "") is not None}
    return {key: _without(value, gone[key]) if gone.get(key) else value for key, value in left.items()}


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """The chart of before: its values, and one object."""
    folder = tmp_path / "ringline"
    (folder / "templates").mkdir(parents=True)
    shutil.copy(CHART / "Chart.yaml", folder)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    (folder / "values.yaml").write_text(yaml.safe_dump(_without(values, SINCE)))
    (folder / "templates" / "one.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n")
    return folder


@pytest.fixture
def release() -> Iterator[Release]:
    made = Release(f"ringline-reused-{os.getpid()}")
    run("kubectl", "apply", "--server-side", "--force-conflicts", "--filename", str(CHART / "crds"))
    run("kubectl", "create", "namespace", made.namespace)
    try:
        yield made
    finally:
        run("kubectl", "delete", "namespace", made.namespace, "--wait=false")


def test_an_upgrade_that_reuses_values_has_what_is_new(release: Release, before: Path) -> None:
    release.helm("install", NAME, str(before), "--set", "agent.maxReplicas=3")
    release.helm("upgrade", NAME, str(CHART), "--reuse-values", "--no-hooks")
    (agent,) = [
        one for one in release.get("pipeline", f"{NAME}-ringline")["spec"]["stages"] if one["name"] == "agent"
    ]
    assert agent["maxReplicas"] == 3
    gateway = release.get("statefulset", f"{NAME}-ringline-gateway")["spec"]["template"]["spec"]
    assert gateway["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] == 2
    names = {one["metadata"]["name"] for one in release.get("statefulsets")["items"]}
    assert names == {f"{NAME}-ringline-{stage}" for stage in STAGES}
    release.helm("upgrade", NAME, str(CHART), "--reuse-values", "--no-hooks", "--set", "feed.enabled=false")
