"""`ringline status` beside a supervisor with stand-in workers and a collector that says what it is told."""

from __future__ import annotations

import http.server
import json
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.app import run
from pipeline.config import Config, load
from pipeline.snapshot import Counts, Dead, Latency, Replica, Snapshot, encode_snapshot
from pipeline.supervisor import Supervisor, Worker

ROOT = Path(__file__).parents[3]
PROGRAM = (
    "import sys; from pipeline.process import *; stop = StopFlag(); stop.listen(); die_with_parent();"
    "announce_ready(); stop.wait(60)"
)
SNAPSHOT = Snapshot(
    taken_us=1,
    uptime_s=5,
    stages=(),
    replicas=(
        Replica(
            stage="agent",
            ordinal=0,
            name="agent-0",
            age_ms=3,
            lag_ms=1.25,
            depth=4,
            cpu_percent=12.4,
            memory_bytes=30 * 2**20,
            counts=(Counts(window_s=1, handled=1), Counts(window_s=5, handled=600)),
        ),
    ),
    latencies=(),
    totals=(Latency(event="END_TO_END", window_s=5, count=9, lost=2, p50_ns=1_500_000, p95_ns=2_000_000),),
    outcomes={"filled": 3, "held": 0},
    dead=(Dead(name="exec-0", pid=77, silent_ms=1, inside=("EXEC_CONSUME", "FILL_GENERATION")),),
)
Output = pytest.CaptureFixture[str]


class Server(http.server.ThreadingHTTPServer):
    """Answers one path, with what it is told to."""

    def __init__(self, path: str, answer: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.path = path
        self.status = 200
        self.answer = answer


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == self.server.path else 404)
        self.send_header("content-length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
        pass


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def collector() -> Iterator[Server]:
    with serving(Server("/v1/snapshot", encode_snapshot(SNAPSHOT))) as server:
        yield server


@pytest.fixture
def gateway() -> Iterator[Server]:
    with serving(Server("/readyz", b'{"status": "ready"}')) as server:
        yield server


@pytest.fixture
def words(collector: Server, gateway: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.delenv("RINGLINE_CONFIG", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    ports = {"telemetry": collector.server_port, "gateway": gateway.server_port}
    given = [f"data_dir={tmp_path}/data", *(f"{name}.port={port}" for name, port in ports.items())]
    return [word for text in given for word in ("--set", text)]


def command(worker: Worker, config_file: Path) -> Sequence[str]:
    return [sys.executable, "-c", PROGRAM]


@pytest.fixture
def supervisor(words: list[str]) -> Iterator[Supervisor]:
    config: Config = load(assignments=words[1::2])
    with Supervisor(config, report=print, command=command) as supervisor:
        supervisor.start()
        supervisor.wait_ready()
        yield supervisor


def test_without_a_pipeline_it_says_so_and_how_to_start_one(words: list[str], capfd: Output) -> None:
    assert run(["status", *words]) == 3
    said = capfd.readouterr().err
    assert said.endswith("/data: the pipeline is not running; `ringline up` starts one\n")


@pytest.mark.usefixtures("supervisor")
def test_a_running_pipeline_is_a_table_of_its_workers(words: list[str], capfd: Output) -> None:
    assert run(["status", *words]) == 0
    text = capfd.readouterr().out
    assert f"pid {os.getpid()}, up since 20" in text
    agent = next(line for line in text.splitlines() if line.startswith("agent-0")).split()
    assert agent[2:] == ["ready", "0", "tcp://127.0.0.1:8002", "120", "4", "1.2", "12", "30"]
    gateway = next(line for line in text.splitlines() if line.startswith("gateway-0")).split()
    assert gateway[-5:] == ["–"] * 5
    assert "p50 1.50 ms, p95 2.00 ms, p99 – ms (9 events, 2 lost)" in text
    assert "Outcomes: filled 3\n" in text
    assert "Died: exec-0 (pid 77) inside EXEC_CONSUME > FILL_GENERATION\n" in text


def test_a_program_gets_status_and_snapshot(supervisor: Supervisor, words: list[str], capfd: Output) -> None:
    assert run(["status", "--json", *words]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["status"]["pid"] == os.getpid()
    assert {p["name"]: p["pid"] for p in found["status"]["processes"]} == {
        process.name: process.pid for process in supervisor.processes()
    }
    assert found["snapshot"]["replicas"][0]["name"] == "agent-0"
    assert found["fault"] == ""


@pytest.mark.usefixtures("supervisor")
@pytest.mark.parametrize("answer", [b"{}", b'{"taken_us": "\xff"}'])
def test_a_collector_that_talks_nonsense_is_something_down(
    collector: Server, words: list[str], capfd: Output, answer: bytes
) -> None:
    collector.answer = answer
    assert run(["status", *words]) == 3
    text = capfd.readouterr().out
    assert "agent-0" in text
    assert "\ncollector: GET http://127.0.0.1:" in text
    assert "no snapshot: " in text


@pytest.mark.usefixtures("supervisor")
def test_before_the_first_event_there_is_nothing_to_tell(
    collector: Server, words: list[str], capfd: Output
) -> None:
    collector.answer = encode_snapshot(Snapshot(taken_us=1, uptime_s=0, stages=(), replicas=(), latencies=()))
    assert run(["status", *words]) == 0
    text = capfd.readouterr().out
    assert "Accept to settled since the start: nothing measured yet\n" in text
    assert "Outcomes: none yet\n" in text


@pytest.mark.usefixtures("supervisor")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            b'{"title": "The gateway is not ready", "detail": "journal: the disk is full"}',
            "journal: the disk is full",
        ),
        (b'{"title": "The gateway is not ready"}', "The gateway is not ready"),
        (b"[]", "GET http://127.0.0.1:{port}/readyz: 503"),
        (b"\xff", "GET http://127.0.0.1:{port}/readyz: 503"),
    ],
)
def test_a_gateway_that_refuses_events_is_unready_and_exit_3(
    gateway: Server, words: list[str], capfd: Output, answer: bytes, reason: str
) -> None:
    gateway.status, gateway.answer = 503, answer
    reason = reason.format(port=gateway.server_port)
    assert run(["status", *words]) == 3
    row = next(line for line in capfd.readouterr().out.splitlines() if line.startswith("gateway-0"))
    assert f"  unready: {reason}  " in row
    assert run(["status", "--json", *words]) == 3
    found = json.loads(capfd.readouterr().out)
    assert found["unready"] == {"gateway-0": reason}
    assert [one["name"] for one in found["status"]["processes"] if not one["ready"]] == ["gateway-0"]


@pytest.mark.usefixtures("supervisor")
def test_a_gateway_that_does_not_answer_is_unready(gateway: Server, words: list[str], capfd: Output) -> None:
    gateway.shutdown()
    gateway.server_close()
    assert run(["status", *words]) == 3
    assert "  unready: GET http://127.0.0.1:" in capfd.readouterr().out
