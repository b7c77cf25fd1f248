"""Alerts, batches and traces through the whole pipeline, over HTTPS, as its own processes serve it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import localhost_tls
import msgspec
from real_pipeline import SECRET, Running, make_config, wait_for

from pipeline.signing import parse_secret, signed_headers
from pipeline.storage.audit import AuditReader
from pipeline.supervisor import endpoints

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SIGNAL = {"type": "signal", "symbol": "AAPL", "side": "buy", "price": "10"}


def test_everything_ends_in_the_audit_with_its_trace(tmp_path: Path) -> None:
    files = {"chain": localhost_tls.CERTIFICATE, "key": localhost_tls.KEY, "path": "p" * 32, "demo": SECRET}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    config = make_config(
        tmp_path,
        gateway={"tls_cert_file": str(tmp_path / "chain"), "tls_key_file": str(tmp_path / "key")},
        sources={
            "alerts": {
                "profile": "tradingview",
                "allow_from": ["127.0.0.1"],
                "secret_files": [str(tmp_path / "path")],
            }
        },
    )
    assert endpoints(config)["gateway-0"].startswith("https://")

    def post(path: str, body: bytes, headers: dict[str, str]) -> int:
        context = ssl.create_default_context(cadata=localhost_tls.CERTIFICATE)
        connection = http.client.HTTPSConnection(
            config.gateway.host, config.gateway.port, timeout=20, context=context
        )
        connection.request("POST", path, body, headers)
        status = connection.getresponse().status
        connection.close()
        return status

    began_us = time.time_ns() // 1_000
    with Running(config):
        batch = json.dumps([SIGNAL, SIGNAL | {"symbol": "MSFT"}]).encode()
        headers = signed_headers(parse_secret(SECRET), "batch", int(time.time()), batch)
        assert post("/webhook/demo/batch", batch, headers | {"traceparent": TRACE}) == 202
        alert = b'{"ticker":"NVDA","action":"sell","price":7,"id":"alert-1","token":"unused"}'
        assert post("/webhook/alerts/" + "p" * 32, alert, {}) == 202
        store = tmp_path / "data" / "audit.sqlite"
        wait_for(lambda: store.exists() and rows(store) == EXPECTED, "all to be audited")
        ended_us = time.time_ns() // 1_000
    file = tmp_path / "config.json"
    file.write_bytes(msgspec.json.encode(config))
    for webhook_id, (profile, index, named_by, passed) in CHECKED.items():
        (story,) = explained(file, webhook_id)
        checks = story["checks"]
        assert (checks["profile"], checks["index"], checks["named_by"], checks["passed"]) == (
            profile, index, named_by, passed,
        )  # fmt: skip
        assert (checks["age_ms"] is None) == (profile == "tradingview")
        check_way(story, began_us, ended_us)


CHECKED = {
    "batch.0": ("standard", 0, "webhook-id", []),
    "batch.1": ("standard", 1, "webhook-id", []),
    "alert-1": ("tradingview", None, "id", ["address", "path token"]),
}
STEPS = ["synced_us", "dispatched_us", "decided_us", "executed_us", "audited_us"]


def explained(config_file: Path, identity: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "explain", identity, "--json", "--config", str(config_file)],
        capture_output=True, timeout=60, check=True, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip
    stories: list[dict[str, Any]] = json.loads(done.stdout)
    return stories


def check_way(story: dict[str, Any], began_us: int, ended_us: int) -> None:
    """Every step is there, in its order, by one machine's clock, and within the time of the test."""
    assert list(story["way"]) == STEPS
    after_us = list(story["way"].values())
    assert after_us[0] >= 0
    assert after_us == sorted(after_us), "one machine, one clock"
    accepted_us = datetime.fromisoformat(story["accepted"]).timestamp() * 1e6
    assert began_us - 1 <= accepted_us
    assert accepted_us + after_us[-1] <= ended_us + 1


EXPECTED = {("batch.0", "AAPL", TRACE), ("batch.1", "MSFT", TRACE), ("alert-1", "NVDA", "")}


def rows(store: Path) -> set[tuple[str, str, str]]:
    with contextlib.closing(AuditReader.open(store)) as reader:
        found = [row.delivery for row in reader.rows()]
    return {(delivery.webhook_id, delivery.key, delivery.traceparent) for delivery in found}
