from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.app import run
from pipeline.performance import rule

ROOT = Path(__file__).parents[3]
WANTED = [
    *("--trades", "6"),
    *("--throttle-max-trades", "1"),
    *("--throttle-window-seconds", "60"),
    *("--throttle-max-notional", "1000"),
    *("--max-lag-ms", "150"),
    *("--max-processing-ms", "150"),
    *("--max-cpu-percent", "100000"),
]
"""The line that was asked for, but for the CPU limit: tests share their machine."""
QUICK = [
    "--rounds",
    "7",
    "--calls",
    "20",
    "--rate",
    "1000",
    "--max-lag-ms",
    "5000",
    "--max-processing-ms",
    "5000",
]
Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RINGLINE_CONFIG", raising=False)


def test_the_line_that_was_asked_for(tmp_path: Path, capfd: Output) -> None:
    file = tmp_path / "out.json"
    assert run(["baseline", *WANTED, "--rounds", "1", "--calls", "20", "--output", str(file)]) == 0
    found = json.loads(file.read_text())
    throttle = found["execution"]["trade_throttle"]
    assert throttle["state"] == "rate_limited"
    assert throttle["message"] == "Throttled: too many trades in short time (limit 1 trade per 1 minute)"
    assert throttle["metadata"]["retry_at"].endswith("+00:00")
    assert found["execution"]["orders_submitted"] == 1
    assert found["options"]["trade_throttle"]["max_notional"] == "1000"
    assert (found["kind"], found["schema"]) == ("baseline", 1)
    said = capfd.readouterr().out
    assert said.startswith("# Performance baseline\n\n**Healthy.**")
    assert said.endswith(f"Baseline: {file}\n")


def test_what_is_unhealthy_is_exit_code_one_and_says_why(capfd: Output) -> None:
    words = ["baseline", "--trades", "2", "--rounds", "0", "--max-processing-ms", "0.000001", "--json"]
    assert run(words) == 1
    found = json.loads(capfd.readouterr().out)["performance"]
    assert found["healthy"] is False
    assert found["breaches"][0].startswith("max_processing_ms = ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max-lag-ms", "nan"], "--max-lag-ms nan: must be a finite number above 0"),
        (["--trades", "-1"], "--trades -1: must be a whole number from 1"),
        (["--max-cpu-percent", "1e9"], "--max-cpu-percent 1000000000.0: must be"),
        (["--rate", "0"], "--rate 0.0: must be"),
        (["--throttle-window-seconds", "0"], "--throttle-window-seconds = 0: expected"),
        (["--throttle-max-notional", "nan"], "--throttle-max-notional = 'nan': expected"),
        (["--throttle-max-notional", "-1"], "--throttle-max-notional = "),
        (["--throttle-multiplier", "2"], "--throttle-multiplier = "),
        (["--throttle-max-trades", "-1"], "--throttle-max-trades = -1: expected"),
        (["--quantity", "0"], "quantity: '0' must be positive"),
        (["--price", "x"], "price: "),
        (["--trades", "six"], "invalid value for '--trades'"),
        (["--url", "nonsense"], "nonsense: expected http://HOST:PORT"),
        (
            ["--url", "http://127.0.0.1:1", "--throttle-max-trades", "1"],
            "--throttle-max-trades does not go with --url",
        ),
        (["diff"], "two baselines to compare, A and B, or --self-test"),
        (["diff", "--self-test", "x"], "--self-test takes no files"),
        (["diff", "--self-test", "--runs", "1"], "--runs 1: must be from 4 to 1000"),
        (["diff", "--margin-percent", "nan", "a", "b"], "--margin-percent nan: must be above 0"),
    ],
)
def test_bad_words_are_refused_by_name(words: list[str], said: str, capfd: Output) -> None:
    assert run(["baseline", *words]) == 2
    assert capfd.readouterr().err.startswith(f"ringline: {said}")


def test_where_nobody_answers_something_is_missing(capfd: Output) -> None:
    assert run(["baseline", "--url", "http://127.0.0.1:1"]) == 3
    assert "GET http://127.0.0.1:1/v1/snapshot: no answer: " in capfd.readouterr().err


def test_two_baselines_are_compared(tmp_path: Path, capfd: Output) -> None:
    a, b = str(tmp_path / "a.json"), tmp_path / "b.json"
    assert run(["baseline", *QUICK, "--output", a]) == 0
    slow = json.loads(Path(a).read_text())
    for item in slow["performance"]["latency"]["rounds"]:
        item["p95_ms"] *= 10
    b.write_text(json.dumps(slow))
    capfd.readouterr()
    assert run(["baseline", "diff", a, a]) == 0
    assert "not worse by more than 20 % beyond noise" in capfd.readouterr().out
    assert run(["baseline", "diff", a, str(b), "--json"]) == 1
    found = json.loads(capfd.readouterr().out)
    assert (found["verdict"], found["ok"], found["machine_factor"]) == ("worse", False, 1.0)


def test_an_empty_file_is_no_baseline(tmp_path: Path, capfd: Output) -> None:
    (tmp_path / "a").touch()
    assert run(["baseline", "diff", str(tmp_path / "a"), str(tmp_path / "a")]) == 2
    assert "is empty" in capfd.readouterr().err
    assert run(["baseline", "diff", str(tmp_path / "b"), str(tmp_path / "a")]) == 3
    assert "cannot be read" in capfd.readouterr().err


@pytest.mark.slow
def test_the_self_test_measures_its_own_false_alarms(monkeypatch: pytest.MonkeyPatch, capfd: Output) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert run(["baseline", "diff", "--self-test", "--runs", "4", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["baselines"], found["pairs"], found["disjoint_pairs"]) == (4, 12, 2)
    assert found["caught"]["2"] > 0.5


def test_the_tool_is_the_command_by_another_name(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/performance_baseline.py"), *QUICK, "--json"],
        cwd=tmp_path,
        env={
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RINGLINE_", "PYTHONPATH"))
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout)["kind"] == "baseline"


def test_the_help_has_the_false_alarm_rate_that_the_rule_was_found_to_have(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["baseline", "diff", "--help"]) == 0
    help_text = " ".join(capfd.readouterr().out.split())
    found = " ".join((rule.__doc__ or "").split())
    for figure in ("--runs 120", "3 of 14,280 pairs", "0.02 %", "none of 60 disjoint ones", "below 4.9 %"):
        assert figure in help_text
        assert figure in found
    for figure in ("68 % (×1.3)", "97 % (×1.5)", "100 % (×2)"):
        assert figure in help_text
        assert figure in found
