"""`ringline run` as a person runs it, on a slice of the real history."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from real_pipeline import make_config, wait_for

from pipeline.supervisor import read_status

LIMIT = 900


def start(folder: Path, *options: str, limit: int = LIMIT) -> subprocess.Popen[str]:
    """`ringline run` on free ports, its output in `folder/out.txt` and `folder/err.txt`."""
    config = make_config(folder)
    tree = msgspec.to_builtins(config)
    del tree["data_dir"]
    (folder / "ringline.json").write_text(json.dumps(tree))
    command = [
        sys.executable, "-m", "pipeline", "run", "--limit", str(limit), "--plain",
        "--config", str(folder / "ringline.json"), "--output", str(folder / "runs"),
        "--data", str(folder / "data"), *options,
    ]  # fmt: skip
    with open(folder / "out.txt", "w") as out, open(folder / "err.txt", "w") as err:
        return subprocess.Popen(command, stdout=out, stderr=err, text=True)


def report_of(folder: Path) -> dict[str, Any]:
    (file,) = (folder / "runs").glob("*/report.json")
    document: dict[str, Any] = json.loads(file.read_text())
    assert file.with_suffix(".md").read_text().startswith("#")
    assert "<svg" in file.with_suffix(".html").read_text()
    return document


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert start(folder).wait(90) == 0, (folder / "err.txt").read_text()
    return report_of(folder)


def test_everything_accepted_is_audited_once_and_reported(undisturbed: dict[str, Any]) -> None:
    report = undisturbed
    assert report["accepted"] == report["audited"] == LIMIT
    assert report["chain_verified"] is True
    assert sum(report["outcomes"].values()) == LIMIT
    assert report["orders"] > 0
    assert report["fills"] > 0
    assert {line["symbol"] for line in report["pnl"]} <= {"AAPL", "FB", "GOOG", "IBM", "MSFT"}
    counts = {step["event"]: step["count"] for step in report["golden_path"]}
    assert counts["END_TO_END"] == counts["AUDIT_WRITE"] == counts["AGENT_DECISION"] == LIMIT


def test_a_run_whose_workers_are_killed_has_the_same_digest(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    job = start(tmp_path, "--rate", "300")
    for name in ("agent-0", "exec-0", "audit-0", "gateway-0"):
        pid = wait_for_pid(tmp_path / "data", name)
        os.kill(pid, signal.SIGKILL)
    assert job.wait(90) == 0, (tmp_path / "err.txt").read_text()
    report = report_of(tmp_path)
    assert report["restarts"] >= 4
    assert report["accepted"] == report["audited"] == LIMIT
    assert report["digest"] == undisturbed["digest"]


def wait_for_pid(data: Path, name: str) -> int:
    """The pid of a worker that is ready and has been killed by nobody yet."""
    found: list[int] = []

    def ready() -> bool:
        if not (data / "run" / "status.json").exists():
            return False
        status = read_status(str(data))
        if status is None or any(not process.ready for process in status.processes):
            return False
        found[:] = [process.pid for process in status.processes if process.name == name and process.pid]
        return bool(found)

    wait_for(ready, f"{name} to be ready")
    return found[0]


def test_an_interrupted_run_drains_reports_and_exits_with_1(tmp_path: Path) -> None:
    job = start(tmp_path, "--rate", "100")
    wait_for_pid(tmp_path / "data", "gateway-0")
    progress = re.compile(r" [1-9][0-9]* of 900 accepted")
    wait_for(lambda: progress.search((tmp_path / "out.txt").read_text()) is not None, "some progress")
    job.send_signal(signal.SIGINT)
    assert job.wait(60) == 1
    report = report_of(tmp_path)
    assert report["accepted"] == report["audited"] < LIMIT
    assert "Traceback" not in (tmp_path / "err.txt").read_text()


def test_no_process_outlives_a_run_that_is_killed(tmp_path: Path) -> None:
    job = start(tmp_path, "--rate", "100")
    wait_for_pid(tmp_path / "data", "gateway-0")
    status = read_status(str(tmp_path / "data"))
    assert status is not None
    pids = [process.pid for process in status.processes if process.pid]
    job.kill()
    job.wait(10)
    wait_for(lambda: not any(_alive(pid) for pid in pids), "every worker to leave", within_s=30)


def _alive(pid: int) -> bool:
    """Whether a process with this pid runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_data_folder_in_use_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "something").write_text("of somebody's")
    began = time.monotonic()
    assert start(tmp_path).wait(60) in {2, 3}
    assert time.monotonic() - began < 30
    errors = (tmp_path / "err.txt").read_text()
    assert "data" in errors
    assert "Traceback" not in errors


def test_on_its_page_the_run_is_seen_from_the_first_candle_to_the_last(tmp_path: Path) -> None:
    process = start(tmp_path, "--page")
    try:
        port = json.loads((tmp_path / "ringline.json").read_text())["feed"]["port"]
        out = tmp_path / "out.txt"
        wait_for(lambda: "the first candle waits" in out.read_text(), "the page to be offered", 60)
        assert ask(port, "/v1/head")["seq"] == 0
        stream = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with contextlib.closing(stream):
            stream.request("GET", "/v1/live")
            assert stream.getresponse().status == 200
            wait_for(lambda: "The last candle is audited" in out.read_text(), "the last candle", 90)
        assert ask(port, "/v1/head")["seq"] == LIMIT
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert report_of(tmp_path)["faults"] == []


def ask(port: int, path: str) -> Any:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
