"""The marker as a user has it: pytest in a process of its own, in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.performance.marked import Mark, checked_mark, read_marks

ROOT = Path(__file__).parents[3]
PLUGIN = "pipeline.performance.pytest_plugin"
BODY = """
import pytest

@pytest.fixture
def count():
    return {count}

@pytest.mark.performance(rounds=8, calls=20)
@pytest.mark.parametrize("more", [1])
def test_work(count, more):
    assert sum(range(count * more)) >= 0

def test_plain():
    pass
"""


def pytest_in(folder: Path, body: str, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(body)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", PLUGIN, "--strict-markers", "-q", *words],
        cwd=folder,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_marked_test_is_held_to_its_stored_baseline(tmp_path: Path) -> None:
    fast, slow = BODY.format(count=5_000), BODY.format(count=20_000)
    first = pytest_in(tmp_path, fast)
    assert first.returncode == 1
    assert "no baseline of this test in" in first.stdout
    assert "1 failed, 1 passed" in first.stdout
    assert pytest_in(tmp_path, fast, "--performance-update").returncode == 0
    assert list(read_marks(tmp_path / "performance-baseline.json").tests) == ["test_it.py::test_work[1]"]
    same = pytest_in(tmp_path, fast)
    assert same.returncode == 0, same.stdout
    worse = pytest_in(tmp_path, slow)
    assert worse.returncode == 1
    assert "WORSE by more than 20 % beyond noise" in worse.stdout
    assert "Traceback" not in worse.stdout


def test_the_body_s_own_failure_passes_through(tmp_path: Path) -> None:
    body = "import pytest\n@pytest.mark.performance\ndef test_it():\n    assert 1 == 2\n"
    done = pytest_in(tmp_path, body, "--performance-update")
    assert done.returncode == 1
    assert "assert 1 == 2" in done.stdout
    assert not (tmp_path / "performance-baseline.json").exists()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (
            "@pytest.mark.performance(rounds=1)\ndef test_it(): pass",
            "rounds = 1: must be a whole number from 7",
        ),
        ("@pytest.mark.performance()\nasync def test_it(): pass", "an async test cannot be timed"),
    ],
)
def test_a_mark_that_cannot_work_fails_its_test_with_a_line(tmp_path: Path, body: str, why: str) -> None:
    done = pytest_in(tmp_path, f"import pytest\n{body}\n")
    assert done.returncode == 1
    assert why in done.stdout


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("{}}")
    done = pytest_in(tmp_path, BODY.format(count=10), "--performance-baseline", "mine.json")
    assert done.returncode == 1
    assert "mine.json: is no file of performance baselines" in done.stdout
    (tmp_path / "mine.json").write_text(json.dumps({"schema": 2}))
    with pytest.raises(UsageError, match="has schema 2"):
        read_marks(tmp_path / "mine.json")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"max_regression": 0}, "max_regression = 0: must be above 0"),
        ({"max_regression": float("nan")}, "max_regression = nan"),
        ({"calls": 1}, "calls = 1: must be a whole number from 20"),
        ({"passes": 0}, "passes = 0: must be"),
        ({"round": 7}, "round: unknown; here are calls, max_regression, passes, rounds"),
    ],
)
def test_arguments_that_do_not_fit_are_named(given: dict[str, float], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        checked_mark((), given)
    with pytest.raises(UsageError, match="all arguments are keywords"):
        checked_mark((0.2,), {})
    assert checked_mark((), {}) == Mark()


def test_installing_registers_it_and_using_ringline_does_not_load_pytest() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"ringline_performance": PLUGIN}
    loaded = "[name for name in ('pytest', 'psutil') if name in sys.modules]"
    program = f"import sys, {PLUGIN}, pipeline.performance; sys.exit(len({loaded}))"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60, check=True)
