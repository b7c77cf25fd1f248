"""`ringline loadtest` as people run it: a pipeline of its own, judged; and everything that can go wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as Xml

import load_runs
import msgspec
import pytest
from load_runs import left_over, report, run, said, start, verdicts
from real_pipeline import Running as RunningPipeline
from real_pipeline import free_ports, make_config, wait_for

from pipeline.config import Config

pytestmark = pytest.mark.timeout(180)

GENEROUS = "p95_ms = 5000\nachieved_percent = 80\ndrain_s = 30\n"
"""What is tested here is the test, on a machine that does other things as well."""


def generous(folder: Path) -> tuple[str, str]:
    file = folder / "gates.toml"
    file.write_text(GENEROUS)
    return "--gates", str(file)


def test_smoke_against_a_pipeline_of_its_own_passes_and_reports(tmp_path: Path) -> None:
    code = run("smoke", "--start", "--time-scale", "0.02", *generous(tmp_path), folder=tmp_path)
    assert code == 0, said(tmp_path)
    found = report(tmp_path)
    assert (found["schema"], found["schema_version"], found["ok"]) == ("ringline.loadtest", 1, True)
    assert {"violated"} & set(verdicts(tmp_path).values()) == set()
    assert verdicts(tmp_path)["duplicates"] == verdicts(tmp_path)["accepted is audited"] == "met"
    assert found["statuses"]["202"] > 50
    assert {"401", "413", "422"} & set(found["statuses"]), "the attacker was kept out"
    assert {"event", "repeat", "attack"} <= set(found["kinds"])
    assert {figures["name"] for figures in found["latencies"]} >= {"intended", "naive", "loop_lag"}
    assert {stage["event"] for stage in found["stages"]} >= {"END_TO_END", "JOURNAL_WRITE", "AUDIT_WRITE"}
    assert {process["name"] for process in found["facts"]["processes"]} >= {"gateway-0", "agent-0", "audit-0"}
    folder = next((tmp_path / "runs").iterdir())
    html = (folder / "report.html").read_text()
    assert "http://" not in html.replace(found["target"], ""), "it needs nothing else"
    assert "<svg" in html
    assert "Time scale 0.02" in (folder / "report.md").read_text()
    suite = Xml.fromstring((folder / "junit.xml").read_bytes())
    assert suite.get("failures") == "0"
    assert int(suite.get("tests", "0")) == len(found["verdicts"])
    assert left_over(tmp_path) == []


@pytest.mark.slow
def test_an_open_variant_with_several_workers_reaches_its_rate(tmp_path: Path) -> None:
    words = ("load", "--start", "--time-scale", "0.01", "--rate", "60", "--generators", "2")
    assert run(*words, *generous(tmp_path), folder=tmp_path) == 0, said(tmp_path)
    found = report(tmp_path)
    assert found["facts"]["shape"]["open_model"]
    assert found["facts"]["met"] >= 0.8 * found["facts"]["planned"] > 0
    assert verdicts(tmp_path)["accepted is audited"] == "met"


@pytest.mark.slow
def test_a_gate_that_is_missed_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "gates.toml").write_text("p95_ms = 0.001\n")
    words = ("smoke", "--start", "--time-scale", "0.01", "--gates", str(tmp_path / "gates.toml"))
    assert run(*words, folder=tmp_path) == 1
    assert verdicts(tmp_path)["p95"] == "violated"
    assert "failed: p95" in report(tmp_path)["headline"]


def test_a_url_where_nobody_is_ends_with_3_and_a_report(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + "A" * 44)
    words = ("smoke", "--url", f"http://127.0.0.1:{port}", "--secret-file", str(secret))
    assert run(*words, folder=tmp_path) == 3
    assert "did not run" in report(tmp_path)["headline"]
    assert "Connection refused" in report(tmp_path)["facts"]["ending"]["fault"]


@pytest.mark.slow
def test_a_wrong_secret_ends_with_3_before_anything_is_sent(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    secret = tmp_path / "other"
    secret.write_text("whsec_" + "B" * 44)
    with RunningPipeline(config):
        url = f"http://{config.gateway.host}:{config.gateway.port}"
        assert run("smoke", "--url", url, "--secret-file", str(secret), folder=tmp_path) == 3
    assert "does not know this secret" in report(tmp_path)["facts"]["ending"]["fault"]
    assert report(tmp_path)["statuses"] == {}


@pytest.mark.slow
def test_a_running_pipeline_is_tested_where_it_is(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    file = tmp_path / "config.json"
    with RunningPipeline(config) as running:
        file.write_bytes(msgspec.json.encode(config))
        words = ("smoke", "--time-scale", "0.01", *generous(tmp_path))
        assert run(*words, folder=tmp_path, pipeline=["--config", str(file)]) == 0, said(tmp_path)
        assert running.pid("gateway-0")
    assert verdicts(tmp_path)["journal is audited"] == "met"
    assert not report(tmp_path)["started_by_test"]


def _elsewhere(config: Config, audit_port: int) -> tuple[str, ...]:
    """A pipeline by its addresses alone, as a pod of the cluster sees it."""
    return (
        "--url", f"http://{config.gateway.host}:{config.gateway.port}",
        "--collector", f"http://{config.telemetry.host}:{config.telemetry.port}",
        "--audit", f"http://{config.feed.host}:{audit_port}",
        "--token-file", config.feed.read_token_files[0],
        "--secret-file", config.sources["demo"].secret_files[0],
        "--time-scale", "0.01",
    )  # fmt: skip


def _guarded(folder: Path) -> Config:
    token = folder / "read.token"
    token.write_text("a token of many letters\n")
    return make_config(folder, feed={"read_token_files": [str(token)]})


def test_a_pipeline_elsewhere_is_judged_by_its_audits_http_and_the_report_is_printed(tmp_path: Path) -> None:
    config = _guarded(tmp_path)
    with RunningPipeline(config):
        words = (*_elsewhere(config, config.feed.port), "--markdown", *generous(tmp_path))
        assert run("smoke", *words, folder=tmp_path, pipeline=[]) == 0, said(tmp_path)
    found = verdicts(tmp_path)
    assert {
        found[name]
        for name in ("accepted is audited", "journal is audited", "audited was sent", "duplicates", "drained")
    } == {"met"}
    assert found["audit verifies"] == "unknown", "that takes the audit's own files"
    assert report(tmp_path)["facts"]["audited"]["accepted"] > 20
    printed = (tmp_path / "out").read_text()
    assert printed.startswith("# Load test smoke\n")
    assert printed.rstrip().endswith(report(tmp_path)["headline"])
    assert "\nok  accepted is audited: 0 of " in printed
    assert " ?  audit verifies: Not verified: its HTTP does not tell" in printed


@pytest.mark.slow
def test_an_audit_elsewhere_that_refuses_the_token_ends_with_3_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    config = _guarded(tmp_path)
    with RunningPipeline(config):
        (tmp_path / "read.token").write_text("another token than that\n")
        words = (*_elsewhere(config, config.feed.port), *generous(tmp_path))
        assert run("smoke", *words, folder=tmp_path, pipeline=[]) == 3
    assert "/v1/head: answers 401" in report(tmp_path)["facts"]["ending"]["fault"]
    assert report(tmp_path)["statuses"] == {}


@pytest.mark.slow
def test_a_pipeline_that_dies_in_the_middle_ends_with_3_and_what_was_measured(tmp_path: Path) -> None:
    test = start("smoke", "--start", "--time-scale", "0.1", *generous(tmp_path), folder=tmp_path)
    try:
        wait_for(lambda: " ms  shed " in said(tmp_path), "the first line of progress", 60)
        (status,) = (tmp_path / "runs").glob("*/data/run/status.json")
        os.kill(json.loads(status.read_bytes())["pid"], signal.SIGKILL)
        assert test.wait(90) == 3
    finally:
        test.kill()
        test.wait()
    found = report(tmp_path)
    assert "the pipeline ended with exit code -9" in found["facts"]["ending"]["fault"]
    assert verdicts(tmp_path)["completed"] == "violated"
    assert found["statuses"]["202"] > 0
    assert verdicts(tmp_path)["accepted is audited"] in ("met", "violated"), "the audit on disk was read"
    wait_for(lambda: left_over(tmp_path) == [], "every process to be gone", 30)


@pytest.mark.slow
def test_ctrl_c_ends_with_1_a_report_and_no_process_left(tmp_path: Path) -> None:
    test = start("smoke", "--start", "--time-scale", "0.5", *generous(tmp_path), folder=tmp_path)
    try:
        wait_for(lambda: " ms  shed " in said(tmp_path), "the first line of progress", 60)
        test.send_signal(signal.SIGINT)
        assert test.wait(60) == 1
    finally:
        test.kill()
        test.wait()
    found = report(tmp_path)
    assert "it was interrupted" in found["facts"]["ending"]["fault"]
    assert verdicts(tmp_path)["accepted is audited"] == "met"
    assert verdicts(tmp_path)["audited was sent"] == "met", "all that was sent stands in the ledger"
    assert left_over(tmp_path) == []


@pytest.mark.slow
def test_a_test_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    test = start("smoke", "--start", "--time-scale", "0.5", folder=tmp_path)
    try:
        wait_for(lambda: " ms  shed " in said(tmp_path), "the first line of progress", 60)
    finally:
        test.kill()
        test.wait()
    wait_for(lambda: left_over(tmp_path) == [], "every process to be gone", 60)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_disk_that_fills_is_told_by_the_rate_and_loses_nothing(tmp_path: Path) -> None:
    small = tmp_path / "runs"
    small.mkdir()
    mounted = subprocess.run(("mount", "-t", "tmpfs", "-o", "size=8m", "none", str(small)), check=False)
    if mounted.returncode:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        pipeline = [
            *load_runs.pipeline_words(tmp_path), "--set", "journal.segment_bytes=1048576",
            "--set", "journal.max_bytes=4194304",
            "--set", "space.floor_bytes=0", "--set", "space.warn_bytes=0",
        ]  # fmt: skip
        filler = small / "filler"
        test = start(
            "smoke",
            "--start",
            "--time-scale",
            "0.05",
            *generous(tmp_path),
            folder=tmp_path,
            pipeline=pipeline,
        )
        try:
            wait_for(lambda: " ms  shed " in said(tmp_path), "the first line of progress", 60)
            fill(filler)
            wait_for(lambda: "draining" in said(tmp_path), "the test to end", 60)
            filler.unlink()
            code = test.wait(90)
        finally:
            test.kill()
            test.wait()
        assert code == 1, said(tmp_path)
        red = [one["sentence"] for one in report(tmp_path)["verdicts"] if one["verdict"] == "violated"]
        log = next(small.glob("*/pipeline.log")).read_text()
        assert verdicts(tmp_path)["accepted is audited"] == "met", (red, log, said(tmp_path))
        assert "restart 1" not in log, "nobody dies of a full disk, and nobody's restarts are spent"
    finally:
        subprocess.run(("umount", "--lazy", str(small)), check=True)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(65536))
        except OSError:
            return


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['locust'] = None; from pipeline.cli import main; main()"
    done = subprocess.run(
        (sys.executable, "-c", hidden, "loadtest", "smoke"), cwd=tmp_path, env=load_runs.environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "pip install 'ringline[loadtests]'" in done.stderr
