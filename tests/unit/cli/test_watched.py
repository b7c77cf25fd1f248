"""`ringline backtest` with a strategy that does not come back, or takes the interpreter with it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pipeline import limits
from pipeline.cli.app import run

STRATEGY = """
import ctypes, signal, os, time
from msgspec import Struct

class Notes(Struct, frozen=True):
    seen: int = 0

class Mine:
    memory = Notes
    def origin(self):
        return Notes()
    def step(self, memory, candle):
        if memory.seen == 2:
            {body}
        return Notes(memory.seen + 1), None
"""


def words(folder: Path, body: str, *more: str) -> list[str]:
    (folder / "mine.py").write_text(STRATEGY.replace("{body}", body))
    rows = [f"2024-01-{day:02d},10,11,9,10,100" for day in range(1, 9)]
    (folder / "small.csv").write_text("\n".join(["time,open,high,low,close,volume", *rows]))
    source = f'trading.strategies={{"mine": {{"kind": "custom", "source": "{folder}/mine.py:Mine"}}}}'
    return ["backtest", str(folder / "small.csv"), "--set", source, *more]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CALL_S", 1)


def test_one_that_sleeps_is_a_line_with_the_place(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    assert run(words(tmp_path, "time.sleep(600)")) == 1
    assert time.monotonic() - began < 60
    said = capfd.readouterr().err
    assert "did not come back within 1 s and was ended" in said
    assert "mine.py" in said


def test_one_that_crashes_the_interpreter_is_a_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    quietly = (
        "import faulthandler; faulthandler.disable()"  # pytest's would print its trace among the results
    )
    assert run(words(tmp_path, f"{quietly}; os.kill(os.getpid(), signal.SIGSEGV)")) == 1
    assert "the run was ended by SIGSEGV inside custom(" in capfd.readouterr().err


def test_one_that_is_well_behaved_is_not_disturbed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(words(tmp_path, "pass", "--json")) == 0
    assert '"digest"' in capfd.readouterr().out


@pytest.mark.parametrize(
    "error",
    [
        "BaseException('x')",
        "GeneratorExit()",
        "asyncio.CancelledError()",
        "SystemExit(3)",
        "KeyboardInterrupt()",
    ],
)
def test_whatever_it_raises_is_its_leg_s_fault(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], error: str
) -> None:
    assert run(words(tmp_path, f"import asyncio; raise {error}", "--json")) == 0
    assert "STRATEGY_RAISED" in capfd.readouterr().out


def test_ctrl_c_ends_it_also_inside_a_step(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(words(tmp_path, "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)")) == 130
    assert "interrupted" in capfd.readouterr().err
