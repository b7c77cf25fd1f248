"""Files of the chart that are made from others are up to date, and Prometheus takes the alerts."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline_operator.kube.meter import ApiMeter
from pipeline_operator.runtime.gauge import Gauges

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "ringline"
promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH")


def test_the_schema_and_the_table_of_values_are_those_of_now() -> None:
    for file, text in runpy.run_path(str(ROOT / "tools" / "chart_values.py"))["made"]().items():
        assert file.read_text() == text, f"{file.name}: run python tools/chart_values.py"


def test_helm_s_validator_knows_all_that_the_schema_s_patterns_use() -> None:
    assert (
        re.findall(r'"pattern": ".*\(\?.*"', (CHART / "values.schema.json").read_text()) == []
    )  # RE2 has none


def test_every_value_is_in_the_table() -> None:
    yaml = pytest.importorskip("yaml")
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    told = {key for key, _, _ in runpy.run_path(str(ROOT / "tools" / "chart_values.py"))["rows"]()}
    for key in values:
        assert any(one == key or one.startswith(f"{key}.") for one in told), f"{key} is not described"


@promtool
def test_the_alerts_are_sound_and_fire_when_they_should() -> None:
    rules = CHART / "files" / "alerts.yaml"
    tests = ROOT / "tests" / "support" / "chart" / "alerts_test.yaml"
    for command in (["check", "rules", str(rules)], ["test", "rules", str(tests)]):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_operator_tells_what_its_alerts_ask_for() -> None:
    asked = set(re.findall(r"\bringline_operator_[a-z_]+", (CHART / "files" / "alerts.yaml").read_text()))
    assert asked == {"ringline_operator_scale_refused_total"}
    gauges = Gauges(ApiMeter())
    gauges.refused["trading", "rl", "ScaleForbidden"] += 1
    line = (
        'ringline_operator_scale_refused_total{namespace="trading",pipeline="rl",reason="ScaleForbidden"} 1'
    )
    assert line in gauges.page().splitlines()


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    dashboard = json.loads((CHART / "dashboards" / "ringline.json").read_text())
    asked = {target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())}
    sources = "\n".join(
        (ROOT / "pipeline" / file).read_text()
        for file in ("telemetry/prometheus.py", "stages/gateway/counters.py", "stages/gateway/app.py")
    )
    names = {word for expr in asked for word in _names(expr)}
    assert names
    for name in names:
        bare = name.removesuffix("_bucket").removesuffix("_total").removeprefix("ringline_gateway_")
        assert bare in sources, name


def _names(expr: str) -> set[str]:
    return set(re.findall(r"\bringline_[a-z_]+", expr))
