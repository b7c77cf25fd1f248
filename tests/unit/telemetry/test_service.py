"""The collector as it runs: real rings, a real port, until it is told to stop."""

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import Config, resolve
from pipeline.errors import MissingError
from pipeline.snapshot import Snapshot, decode_snapshot
from pipeline.telemetry import EventID, open_recorder, register_event, run_collector
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.ring import COLLECTOR_LOCK
from pipeline.telemetry.service import CollectorPages, _Feed
from pipeline.telemetry.sla import SLAResult, SLAThreshold, Verdict
from pipeline.telemetry.stream import Hub, Wish


class Running:
    """A collector on a thread."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.port = config.telemetry.port
        self.code: int | None = None
        self._stop, self._ready = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(20)

    def _run(self) -> None:
        self.code = run_collector(self.config, self._stop, self._ready.set)

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def snapshot(self) -> Snapshot:
        return decode_snapshot(self.get("/v1/snapshot")[1])

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return resolve({"telemetry": {"directory": str(tmp_path / "rings"), "port": free_port()}})


@pytest.fixture
def running(config: Config) -> Iterator[Running]:
    one = Running(config)
    yield one
    one.stop()


def directory(running: Running) -> Path:
    return Path(running.config.telemetry.directory)


def test_it_serves_what_a_worker_recorded_and_leaves_no_file_behind(config: Config) -> None:
    running = Running(config)
    recorder = open_recorder(directory(running), "agent-0", 64)
    recorder.record(EventID.AGENT_DECISION, 5000)
    deadline = time.monotonic() + 10
    while not (found := running.snapshot()).totals:
        assert time.monotonic() < deadline
    assert (found.totals[0].event, found.totals[0].count) == ("AGENT_DECISION", 1)
    status, page = running.get("/metrics")
    assert status == 200
    assert b'ringline_latency_seconds_count{stage="agent",event="AGENT_DECISION"} 1' in page
    assert running.get("/healthz")[0] == 200
    recorder.close()
    running.stop()
    assert running.code == 0
    assert not directory(running).exists()


def test_the_stream_pushes_snapshots_and_a_breach(running: Running) -> None:
    recorder = open_recorder(directory(running), "agent-0", 64)
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as client:
        client.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        stream = client.makefile("rb")
        events: list[str] = []
        for line in stream:
            if line.startswith(b"event: "):
                events.append(line.split()[1].decode())
                if len(events) == 1:
                    for _ in range(30):
                        recorder.record(EventID.AGENT_DECISION, 50_000_000)
            elif line.startswith(b"data: ") and events[-1] == "breach":
                breach = json.loads(line[6:])
                break
        stream.close()
    assert events[0] == "snapshot"
    assert (breach["event"], breach["verdict"]) == ("AGENT_DECISION", "violated")
    recorder.close()


def test_an_open_stream_does_not_keep_it_from_leaving(config: Config) -> None:
    running = Running(config)
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as client:
        client.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100)
        started = time.monotonic()
        running.stop()
        assert time.monotonic() - started < 5


def test_a_taken_port_is_one_clear_line_and_leaves_nothing(running: Running, tmp_path: Path) -> None:
    other = tmp_path / "others"
    config = resolve({"telemetry": {"directory": str(other), "port": running.port}})
    with pytest.raises(MissingError, match=rf"telemetry.port = {running.port}: cannot listen on 127.0.0.1"):
        run_collector(config, threading.Event())
    assert not other.exists()


def test_a_second_collector_is_refused(running: Running) -> None:
    config = resolve({"telemetry": {"directory": str(directory(running)), "port": free_port()}})
    with pytest.raises(MissingError, match="another collector"):
        run_collector(config, threading.Event())
    assert (directory(running) / COLLECTOR_LOCK).exists()


def test_told_to_stop_before_it_begins_it_drains_once_and_leaves(config: Config) -> None:
    stop = threading.Event()
    stop.set()
    assert run_collector(config, stop) == 0
    assert not Path(config.telemetry.directory).exists()


def test_a_living_writers_ring_survives_the_collector(running: Running) -> None:
    recorder = open_recorder(directory(running), "agent-0", 64)
    recorder.record(EventID.AGENT_DECISION, 1)
    running.stop()
    [left] = directory(running).iterdir()
    assert left.suffix == ".ring"
    recorder.close()
    assert not list(directory(running).iterdir())


def test_it_judges_the_limits_that_its_configuration_gives(tmp_path: Path) -> None:
    sla = {"AGENT_DECISION": {"p50": 1}, "checkout": {"p50": 2.5}}
    config = resolve({"telemetry": {"directory": str(tmp_path / "rings"), "port": free_port(), "sla": sla}})
    checkout = register_event("checkout")
    running = Running(config)
    recorder = open_recorder(directory(running), "agent-0", 1024)
    for _ in range(100):
        recorder.record(EventID.AGENT_DECISION, 1_500_000)
        recorder.record(checkout, 1_500_000)
    deadline = time.monotonic() + 20
    while len(found := running.snapshot().slas) < 6:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    judged = {
        (one.event, one.percentile, one.limit_ns, str(one.verdict)) for one in found if one.window_s == 60
    }
    assert judged == {
        ("AGENT_DECISION", 50.0, 1_000_000, "violated"),
        ("checkout", 50.0, 2_500_000, "met"),
    }
    recorder.close()
    running.stop()


def test_with_a_breach_goes_a_snapshot_however_seldom_its_client_wants_one(tmp_path: Path) -> None:
    """What is shown then agrees with what is told."""
    breach = SLAResult(SLAThreshold(EventID.AGENT_DECISION, 95, 1), 1, Verdict.VIOLATED, 20, 0, 2)
    collector = Collector(tmp_path)

    async def ask() -> list[list[str]]:
        hub, told = Hub(), []
        feed = _Feed(CollectorPages(collector, tmp_path), hub, asyncio.get_running_loop())
        subscriber = hub.join(Wish(every_ms=60_000))
        assert subscriber is not None
        for breaches in ([], [breach]):
            feed.drained(breaches)
            await asyncio.sleep(0)  # what the feed gave arrives with the loop's next turn
            frames = await asyncio.wait_for(subscriber.next(), 10) or b""
            told.append([line[7:].decode() for line in frames.splitlines() if line.startswith(b"event: ")])
        return told

    assert asyncio.run(ask()) == [["snapshot"], ["breach", "snapshot"]]
    collector.close()
