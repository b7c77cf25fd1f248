"""Debian's Prometheus scrapes a running pipeline: every query of the dashboard returns data, and an alert
fires when it is provoked. Skipped where there is no Prometheus."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from real_pipeline import Client, Running, candle, free_ports, make_config, wait_for

from pipeline.config import Config

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "charts" / "ringline" / "dashboards" / "ringline.json"
ALERTS = ROOT / "charts" / "ringline" / "files" / "alerts.yaml"
NAMESPACE = "trading"
NOT_YET = ("ringline_flow_throttled_total",)
"""Counters that a collector shows from the first time on that there is something to count."""

pytestmark = [
    pytest.mark.skipif(
        not shutil.which("prometheus"), reason="no prometheus here: apt-get install prometheus"
    ),
    pytest.mark.timeout(300),
]


class Prometheus:
    """One server with `rules`, scraping `targets` each second as if they were pods of NAMESPACE."""

    def __init__(self, folder: Path, targets: list[str], rules: dict[str, Any]) -> None:
        self._folder = folder
        (port,) = free_ports(1)
        self._address = f"127.0.0.1:{port}"
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
        scrape = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(folder / "rules.yaml")],
            "scrape_configs": [
                {
                    "job_name": "ringline",
                    "static_configs": [
                        {"targets": targets, "labels": {"namespace": NAMESPACE, "pod": "one"}}
                    ],
                }
            ],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(scrape))

    @contextlib.contextmanager
    def running(self) -> Iterator[Prometheus]:
        words = [
            "prometheus", f"--config.file={self._folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self._folder / 'data'}", f"--web.listen-address={self._address}",
        ]  # fmt: skip
        with (
            (self._folder / "log").open("wb") as log,
            subprocess.Popen(words, stdout=log, stderr=log) as process,
        ):
            try:
                wait_for(self._is_ready, "Prometheus to be ready", 60)
                yield self
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)

    def ask(self, path: str, **parameters: str) -> Any:
        url = f"http://{self._address}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def value_of(self, query: str) -> list[Any]:
        found: list[Any] = self.ask("/api/v1/query", query=query)["result"]
        return found

    def firing(self) -> set[tuple[str, str]]:
        alerts = self.ask("/api/v1/alerts")["alerts"]
        return {
            (one["labels"]["alertname"], one["labels"]["severity"])
            for one in alerts
            if one["state"] == "firing"
        }

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.HTTPError):
            return False


def queries() -> list[tuple[str, str]]:
    """Every panel's title and query, as Grafana would ask it."""

    def panels(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for panel in found:
            yield panel
            yield from panels(panel.get("panels", []))

    return [
        (panel["title"], target["expr"].replace("$namespace", NAMESPACE))
        for panel in panels(json.loads(DASHBOARD.read_text())["panels"])
        for target in panel.get("targets", [])
    ]


def hurried() -> dict[str, Any]:
    """The chart's rules with short times, so that minutes become seconds; everything else as shipped."""
    rules: dict[str, Any] = yaml.safe_load(ALERTS.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["for"] = "1s"
            rule["expr"] = re.sub(r"\[(5|10)m\]", "[10s]", rule["expr"])
    return rules


def post(config: Config, days: range) -> None:
    with contextlib.closing(Client(config)) as client:
        for day in days:
            for symbol in ("AAPL", "MSFT"):
                client.post_until_taken(f"{symbol}-{day}", candle(symbol, day, f"{100 + day * 7 % 37}.00"))


def test_every_query_of_the_dashboard_returns_data_and_alerts_fire_when_provoked(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    with Running(config) as running:
        targets = [f"127.0.0.1:{config.telemetry.port}", f"127.0.0.1:{config.gateway.port}"]
        with Prometheus(tmp_path, targets, hurried()).running() as prometheus:
            day = 0

            def empty() -> list[str]:
                nonlocal day
                post(config, range(day, day + 5))  # rates need something that goes on
                day += 5
                return [
                    f"{title}: {query}"
                    for title, query in queries()
                    if not any(name in query for name in NOT_YET) and not prometheus.value_of(query)
                ]

            assert len(queries()) > 10
            with contextlib.suppress(AssertionError):
                wait_for(lambda: not empty(), "every query to return data", 60)
            missing = empty()
            assert missing == []
            assert ("RinglineLag", "critical") not in prometheus.firing()
            assert ("RinglineNotReady", "critical") not in prometheus.firing()

            running.kill("agent-0")
            wait_for(
                lambda: ("RinglineWorkerDied", "warning") in prometheus.firing(), "a death to be told", 60
            )

            audit = running.pid("audit-0")
            assert audit is not None
            os.kill(audit, signal.SIGSTOP)
            try:
                with contextlib.closing(Client(config)) as client:
                    client.post_until_taken("late", candle("AAPL", 4000, "100.00"))
                    wait_for(lambda: ("RinglineLag", "warning") in prometheus.firing(), "lag to be told", 60)
            finally:
                os.kill(audit, signal.SIGCONT)
            wait_for(lambda: ("RinglineLag", "warning") not in prometheus.firing(), "lag to be over", 60)


def test_alerts_of_a_pipeline_that_is_stuck_fire_and_end(tmp_path: Path) -> None:
    config = make_config(tmp_path, journal={"max_age_s": 3})
    with Running(config) as running:
        targets = [f"127.0.0.1:{config.telemetry.port}", f"127.0.0.1:{config.gateway.port}"]
        with Prometheus(tmp_path, targets, hurried()).running() as prometheus:
            day = 0

            def goes_on() -> None:
                nonlocal day
                post(config, range(day, day + 10))
                day += 10

            def fires(*wanted: tuple[str, str]) -> bool:
                return prometheus.firing().issuperset(wanted)

            def denied() -> bool:
                goes_on()
                return fires(("RinglineTradeThrottled", "info"))

            wait_for(denied, "refused trades to be told", 60)
            audit = running.pid("audit-0")
            assert audit is not None
            os.kill(audit, signal.SIGSTOP)
            try:
                with contextlib.closing(Client(config)) as client:

                    def refused() -> bool:
                        client.post("stuck", candle("AAPL", day, "100.00"))
                        client.post(f"more-{time.monotonic_ns()}", candle("MSFT", day, "100.00"))
                        return fires(
                            ("RinglineErrors", "warning"), ("RinglineErrors", "critical"),
                            ("RinglineLag", "warning"), ("RinglineLag", "critical"),
                        )  # fmt: skip

                    wait_for(refused, "lag and refusals to be told", 90)
            finally:
                os.kill(audit, signal.SIGCONT)
            late = (("RinglineLatency", "warning"), ("RinglineLatency", "critical"))
            wait_for(lambda: fires(*late), "late rows to be told", 60)

            def over() -> bool:
                goes_on()
                names = {name for name, _ in prometheus.firing()}
                return not names & {"RinglineErrors", "RinglineLag"}

            wait_for(over, "lag and refusals to be over", 90)
