from __future__ import annotations

import sys
from pathlib import Path

from pipeline.config import resolve
from pipeline.supervisor import Worker, endpoints, roster, worker_command


def test_downstream_starts_first_and_every_worker_is_counted() -> None:
    config = resolve({"agent": {"workers": 2}, "exec": {"workers": 3}})
    assert [worker.name for worker in roster(config)] == [
        *("collector", "feed", "audit-0", "exec-0", "exec-1", "exec-2", "agent-0", "agent-1", "gateway-0"),
    ]


def test_every_worker_has_an_address() -> None:
    config = resolve({"agent": {"workers": 2, "host": "::1"}, "gateway": {"port": 80}})
    found = endpoints(config)
    assert set(found) == {worker.name for worker in roster(config)}
    assert found["gateway-0"] == "http://127.0.0.1:80"
    assert found["agent-1"] == "tcp://[::1]:8012"
    assert found["collector"] == "http://127.0.0.1:9464"


def test_a_worker_is_started_by_a_fresh_interpreter() -> None:
    assert worker_command(Worker("exec", 2), Path("/x/config.json")) == [
        *(sys.executable, "-m", "pipeline", "worker", "exec", "--ordinal", "2", "--config", "/x/config.json"),
    ]
    assert worker_command(Worker("collector", 0), Path("c"))[3:] == ["collector", "--config", "c"]
    assert worker_command(Worker("feed", 0), Path("c"))[3:] == ["feed", "serve", "--config", "c"]


def test_a_feed_that_is_switched_off_does_not_run() -> None:
    assert "feed" not in {worker.stage for worker in roster(resolve({"feed": {"enabled": False}}))}
