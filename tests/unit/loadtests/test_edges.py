"""What is learned from outside: a gateway's pages, a collector's snapshot, a process of this machine."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests import children, limits
from loadtests.drain import look, watch_drain
from loadtests.preflight import check
from loadtests.samples import read_process, sample_of
from loadtests.task import Task
from loadtests.web import fetch, gauges, problem_detail
from pipeline.errors import MissingError, UsageError
from pipeline.signing import Secret
from pipeline.snapshot import Counts, Latency, Replica, Snapshot, Stage

SECRET = Secret(bytes(range(32)), "test")


class Gateway:
    """Answers what it is told: pages by path, and one status to every post."""

    def __init__(self) -> None:
        self.pages: dict[str, list[tuple[int, bytes]]] = {"/readyz": [(200, b"")]}
        self.posted = (400, b'{"title":"no JSON"}')
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answers = owner.pages.get(self.path, [(404, b"")])
                self.answer(*(answers.pop(0) if len(answers) > 1 else answers[0]))

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.answer(*owner.posted)

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    found = Gateway()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


def task(url: str) -> Task:
    return Task(shape="smoke", folder="/nowhere", run="0badcafe", gateway_url=url)


def metrics(depth: int) -> tuple[int, bytes]:
    text = f"# HELP x y\nringline_gateway_journal_depth {depth}\nringline_gateway_accepted_total 12\n"
    return 200, text.encode()


def test_a_drain_ends_when_nothing_is_unsettled(gateway: Gateway) -> None:
    gateway.pages["/metrics"] = [metrics(3), metrics(1), metrics(0)]
    found = watch_drain(gateway.url, lambda: False)
    assert found.took_s is not None
    assert found.took_s >= 2 * limits.DRAIN_LOOK_S
    assert found.last is not None
    assert found.last.accepted == 12


def test_a_pipeline_that_goes_is_not_drained(gateway: Gateway) -> None:
    gateway.pages["/metrics"] = [metrics(3)]
    looks = iter((False, False, True))
    assert watch_drain(gateway.url, lambda: next(looks)).took_s is None


def test_a_page_of_something_else_tells_nothing(gateway: Gateway) -> None:
    gateway.pages["/metrics"] = [(200, b"up 1\n")]
    assert look(gateway.url) is None
    assert look("http://127.0.0.1:1") is None


def test_samples_with_labels_and_comments_are_left_out() -> None:
    assert gauges('# TYPE a b\na 1\nb{c="d"} 2\nnonsense\ne 3.5\n') == {"a": 1.0, "e": 3.5}


def test_a_gateway_that_knows_the_secret_passes(gateway: Gateway) -> None:
    check(task(gateway.url), SECRET)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "does not know this secret"),
        (404, "has no source 'demo'"),
        (202, "answers 202"),
        (503, "answers 503"),
    ],
)
def test_a_gateway_that_does_not_fit_is_named(gateway: Gateway, status: int, said: str) -> None:
    gateway.posted = (status, b"{}")
    with pytest.raises(MissingError, match=said):
        check(task(gateway.url), SECRET)


def test_an_unready_gateway_says_why(gateway: Gateway) -> None:
    gateway.pages["/readyz"] = [(503, b'{"detail":"the disk is full"}')]
    with pytest.raises(MissingError, match="the disk is full"):
        check(task(gateway.url), SECRET)


@pytest.mark.parametrize("url", ["localhost:8001", "ftp://h/", "http://", "http://h:port/"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        fetch(url)


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"null"])
def test_an_answer_that_is_no_problem_document_has_no_detail(body: bytes) -> None:
    assert problem_detail(body) == ""


def test_a_sample_keeps_lags_depths_replicas_and_the_last_second() -> None:
    counts = (
        Counts(window_s=1.0, trade_throttled=3, flow_throttled=2),
        Counts(window_s=60.0, trade_throttled=99),
    )
    snapshot = Snapshot(
        taken_us=1,
        uptime_s=1.0,
        stages=(
            Stage(stage="gateway", lag_ms=None, depth=7, counts=(), latencies=()),
            Stage(stage="agent", lag_ms=2.5, depth=4, counts=counts, latencies=()),
        ),
        replicas=tuple(Replica(stage="agent", ordinal=n, name=f"agent-{n}", age_ms=1.0) for n in range(2)),
        latencies=tuple(
            Latency(event="END_TO_END", window_s=window_s, count=1, p95_ns=int(window_s * 1e6))
            for window_s in (1.0, 5.0)
        ),
    )
    found = sample_of(snapshot, 12.0)
    assert found.lag_ms == {"agent": 2.5}
    assert found.depth == {"gateway": 7, "agent": 4}
    assert found.replicas == {"agent": 2}
    assert (found.trade_throttled, found.flow_throttled) == (3, 2)
    assert found.end_to_end_p95_ms == 1.0


def test_a_process_of_this_machine_is_read_and_one_that_is_gone_is_not() -> None:
    found = read_process(os.getpid(), 5.0)
    assert found is not None
    assert found.memory_bytes is not None
    assert found.memory_bytes > 1_000_000
    assert found.cpu_s is not None
    assert read_process(2**22 + 1, 5.0) is None


def test_a_child_that_will_not_end_is_ended(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True)"
    log = tmp_path / "log"
    child = children.start((sys.executable, "-c", f"{stubborn}; time.sleep(60)"), log)
    deadline = threading.Event()
    for _ in range(1000):
        if "on" in log.read_text():
            break
        deadline.wait(0.01)
    assert not children.stop(child, 0.2)
    assert child.returncode == -9
    assert children.tail(log) == "on"


def test_a_child_that_has_ended_is_left_alone(tmp_path: Path) -> None:
    child = children.start((sys.executable, "-c", ""), tmp_path / "log")
    child.wait()
    assert children.stop(child, 1)
    assert isinstance(child, subprocess.Popen)
