"""The other tools that people load it with: Locust itself, curl, hey, wrk and k6, against a real pipeline."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_pipeline import Running, free_ports, make_config, wait_for

from pipeline.config import Config
from pipeline.storage.audit import AuditReader

TOOLS = Path(__file__).parents[2] / "loadtests" / "tools"
K6 = os.environ.get("RINGLINE_TEST_K6", "k6").split()
"""How k6 is called here."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """Of a pipeline that runs."""
    found = make_config(tmp_path_factory.mktemp("tools"))
    with Running(found):
        yield found


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed")


def address(config: Config) -> str:
    return f"http://{config.gateway.host}:{config.gateway.port}"


def secret(config: Config) -> str:
    return config.sources["demo"].secret_files[0]


def run(*words: str, cwd: Path = TOOLS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, cwd=cwd)


def audited(config: Config, prefix: str) -> int:
    """Rows whose webhook-id begins so."""
    reader = AuditReader.open(Path(config.data_dir) / "audit.sqlite")
    try:
        return sum(delivery.webhook_id.startswith(prefix) for delivery in reader.deliveries())
    finally:
        reader.close()


def locust(config: Config, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`locust -f loadtests/locustfile.py` from a folder of nobody's."""
    file = str(TOOLS.parent / "locustfile.py")
    common = ("--headless", "--host", address(config), "--secret-file", secret(config), "--only-summary")
    return subprocess.run(
        (sys.executable, "-m", "locust", "-f", file, *common, *words), cwd="/", env=os.environ | variables,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_locust_by_itself_judges_by_the_answers(config: Config, tmp_path: Path) -> None:
    gates = tmp_path / "gates.toml"
    gates.write_text("p95_ms = 5000\n")
    audit = f"http://{config.feed.host}:{config.feed.port}"
    words = ("--users", "5", "--spawn-rate", "5", "--run-time", "4s", "--gates-file", str(gates))
    done = locust(config, *words, RINGLINE_AUDIT_URL=audit)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "p95: met" in done.stdout
    gates.write_text("p95_ms = 0.001\n")
    done = locust(config, *words)
    assert done.returncode == 1
    assert "p95: violated" in done.stdout


def test_locust_with_several_processes_merges_what_they_measured(config: Config, tmp_path: Path) -> None:
    gates = tmp_path / "gates.toml"
    gates.write_text("p95_ms = 5000\nachieved_percent = 1\n")
    words = (
        "--processes",
        "2",
        "--gates-file",
        str(gates),
        "--run-time",
        "8s",
        "--users",
        "10",
        "--spawn-rate",
        "10",
    )
    done = locust(config, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"errors: met: 0 of ([\d,]+) requests", done.stdout)
    assert found, done.stdout
    assert int(found[1].replace(",", "")) > 100


def test_locusts_web_page_starts_a_test(config: Config) -> None:
    (port,) = free_ports(1)
    words = ("--web-host", "127.0.0.1", "--web-port", str(port), "--secret-file", secret(config))
    file = str(TOOLS.parent / "locustfile.py")
    child = subprocess.Popen(
        (sys.executable, "-m", "locust", "-f", file, "--host", address(config), *words),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    page = f"http://127.0.0.1:{port}"

    def answered(path: str, body: bytes | None = None) -> bytes:
        try:
            with urllib.request.urlopen(page + path, body, timeout=10) as answer:
                return bytes(answer.read()).replace(b" ", b"")
        except OSError:
            return b""

    try:
        wait_for(lambda: b"ocust" in answered("/"), "the page", 60)
        assert b'"success":true' in answered("/swarm", b"user_count=3&spawn_rate=3")
        wait_for(lambda: b'"name":"event"' in answered("/stats/requests"), "requests", 60)
    finally:
        child.terminate()
        child.wait(30)


def test_locust_without_the_secret_says_which_file_it_lacks(config: Config) -> None:
    done = locust(config, "--users", "1", "--run-time", "1s", "--secret-file", "/nowhere/demo.whsec")
    assert done.returncode != 0
    assert "loadtests: secret /nowhere/demo.whsec: No such file" in done.stderr
    assert "Traceback" not in done.stderr


@needs("curl", "openssl")
def test_curl_lines_are_accepted(config: Config) -> None:
    done = run("sh", "curl.sh", f"{address(config)}/webhook/demo", secret(config), "5")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["202"] * 5, done.stderr
    wait_for(lambda: audited(config, "curl-") == 5, "five rows")


@needs("hey", "openssl")
def test_hey_repeats_one_event_which_is_executed_once(config: Config) -> None:
    done = run("sh", "hey.sh", f"{address(config)}/webhook/demo", secret(config), "-n", "200", "-c", "4")
    assert re.search(r"\[202\]\s+200 responses", done.stdout), done.stdout + done.stderr
    wait_for(lambda: audited(config, "hey-") == 1, "one row")


@needs("wrk")
def test_wrk_signs_every_request_by_itself(config: Config) -> None:
    words = ("wrk", "-t2", "-c4", "-d2s", "-s", "wrk.lua", f"{address(config)}/webhook/demo", "--")
    done = run(*words, secret(config))
    found = re.search(r"accepted (\d+), (\d+)/s", done.stdout)
    assert found, done.stdout + done.stderr
    assert int(found[1]) > 100
    statuses = re.findall(r"status (\d+):", done.stdout)
    assert statuses == ["202"], done.stdout
    # Those in flight when wrk left were accepted too, and it did not see it: at most one a connection.
    wait_for(lambda: int(found[1]) <= audited(config, "wrk-") <= int(found[1]) + 4, "a row for each")


@needs(K6[0])
@pytest.mark.parametrize(("p95_ms", "code"), [("5000", 0), ("0.001", 99)])
def test_k6_runs_the_shapes_and_has_the_gates(config: Config, p95_ms: str, code: int, tmp_path: Path) -> None:
    shutil.copy(TOOLS / "k6.js", tmp_path)
    environment = {
        "SHAPE": "smoke",
        "URL": address(config),
        "SECRET_FILE": secret(config),
        "TIME_SCALE": "0.01",
    }
    chosen = [
        word
        for name, value in {**environment, "P95_MS": p95_ms}.items()
        for word in ("-e", f"{name}={value}")
    ]
    done = run(*K6, "run", "--quiet", *chosen, str(tmp_path / "k6.js"), cwd=tmp_path)
    assert done.returncode == code, done.stdout + done.stderr
    assert "ringline_accepted" in done.stdout


@needs(K6[0])
def test_k6_counts_a_wrong_secret_as_errors(config: Config, tmp_path: Path) -> None:
    shutil.copy(TOOLS / "k6.js", tmp_path)
    wrong = tmp_path / "wrong"
    wrong.write_text("whsec_" + "C" * 44)
    chosen = ("-e", f"URL={address(config)}", "-e", f"SECRET_FILE={wrong}", "-e", "TIME_SCALE=0.005")
    assert run(*K6, "run", "--quiet", *chosen, str(tmp_path / "k6.js"), cwd=tmp_path).returncode == 99
