"""`ringline backtest` with a strategy that does not come back, or takes the interpreter with it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from own_strategy import write_strategy

from pipeline import limits
from pipeline.cli.app import run
from pipeline.cli.call_folder import PREFIX, CallFolder


def words(folder: Path, body: str, *more: str, made: str = "pass", imported: str = "pass") -> list[str]:
    mine = write_strategy(folder, body=body, made=made, imported=imported)
    rows = [f"2024-01-{day:02d},10,11,9,10,100" for day in range(1, 9)]
    (folder / "small.csv").write_text("\n".join(["time,open,high,low,close,volume", *rows]))
    source = f'trading.strategies={{"mine": {{"kind": "custom", "source": "{mine}"}}}}'
    return ["backtest", str(folder / "small.csv"), "--set", source, *more]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CALL_S", 1)
    monkeypatch.setattr(limits, "MAX_IMPORT_S", 1)


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


QUIETLY = "import faulthandler; faulthandler.disable(); "
"""Pytest's would print its trace among the results."""


@pytest.mark.parametrize("where", ["body", "made", "imported"])
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("os._exit(0)", "the run left with exit code 0 before its end inside "),
        ("os._exit(7)", "the run left with exit code 7 before its end inside "),
        ("os.kill(os.getpid(), signal.SIGKILL)", "the run was ended by SIGKILL inside "),
        (QUIETLY + "os.abort()", "the run was ended by SIGABRT inside "),
        ("time.sleep(600)", "did not come back within 1 s and was ended"),
    ],
)
def test_whatever_ends_it_and_wherever_is_a_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], where: str, what: str, said: str
) -> None:
    places = {"body": "pass", where: what}
    assert run(words(tmp_path, places.pop("body"), **places)) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert said in err
    told = {"imported": "import of custom(", "made": ": its construction", "body": "custom("}
    assert told[where] in err


def test_an_import_that_goes_round_for_ever_is_ended(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = words(tmp_path, "pass")
    (tmp_path / "mine.py").write_text("while True: pass\n")
    assert run(source) == 1
    assert "import of custom(" in capfd.readouterr().err


def test_a_construction_that_goes_round_for_ever_is_counted_and_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(words(tmp_path, "pass", made="while True: pass")) == 2
    assert "mine.py:Mine: it cannot be made of its parameters: takes more than" in capfd.readouterr().err


def test_a_process_of_a_sweep_that_leaves_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sweep = ["--sweep", "strategies.mine.quantity=1,2", "--jobs", "2"]
    assert run(words(tmp_path, "os._exit(0)", *sweep)) == 1
    assert "ringline: a process of the sweep ended inside custom(" in capfd.readouterr().err


@pytest.mark.parametrize(
    "body",
    [
        "print('debug')",
        "os.write(1, b'debug')",
        "sys.stdout.close()",
        "sys.stdout = sys.stderr = None",
        "os.fork()",
        "os.system('echo debug')",
    ],
)
def test_what_it_prints_is_not_in_the_report(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], body: str
) -> None:
    assert run(words(tmp_path, body, "--json", imported="os.system('echo debug')")) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["candles"]
    assert "debug" in err


def test_what_it_prints_in_a_sweep_is_not_in_the_report(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = ["--sweep", "strategies.mine.quantity=1,2", "--jobs", "2", "--json"]
    assert run(words(tmp_path, "print('debug')", *sweep)) == 0
    out, err = capfd.readouterr()
    assert len(json.loads(out)["runs"]) == 2
    assert "debug" in err


def test_the_baseline_of_one_that_hangs_or_prints_is_watched_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    short = ["--trades", "1", "--rounds", "0"]
    rest = words(tmp_path, "pass", "--json", imported="print('debug')")[2:]
    assert run(["baseline", *short, *rest]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["performance"]["healthy"]
    assert "debug" in err
    assert run(["baseline", *short, *words(tmp_path, "pass", made="time.sleep(600)")[2:]]) == 1
    assert "did not come back within 1 s" in capfd.readouterr().err


# ---- the end of the command itself

SLOWLY = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored
from pipeline import limits
limits.MAX_CALL_S = 100
from pipeline.cli.app import run
sys.exit(run(sys.argv[1:]))
"""
SWEEP = ("--sweep", "strategies.mine.quantity=1,2", "--jobs", "2")


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def until(true: Callable[[], bool], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextlib.contextmanager
def started(folder: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A backtest inside a step that does not end soon, in as many processes as step."""
    marks, temporary = folder / "pids", folder / "tmp"
    marks.mkdir()
    temporary.mkdir()
    mark = f"open('{marks}/%d' % os.getpid(), 'w')"
    body = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {mark}; time.sleep(60)"
    count = 2 if more else 1
    with subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *words(folder, body, *more)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            until(lambda: len(list(marks.iterdir())) == count)
            yield process, [int(file.name) for file in marks.iterdir()]
        finally:
            process.kill()


@pytest.mark.parametrize("more", [(), SWEEP])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_being_ended_ends_every_process_and_removes_the_folder(
    tmp_path: Path, number: signal.Signals, more: tuple[str, ...]
) -> None:
    with started(tmp_path, *more) as (process, pids):
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 128 + number
        assert f"ringline: ended by {number.name}" in err.splitlines()
        until(lambda: not any(map(alive, pids)))
        assert not list((tmp_path / "tmp").glob(f"{PREFIX}*"))


def test_one_that_ignores_ctrl_c_is_ended_by_the_second(tmp_path: Path) -> None:
    with started(tmp_path) as (process, pids):
        process.send_signal(signal.SIGINT)  # not to the child: as if it took no notice
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        until(lambda: not any(map(alive, pids)))


@pytest.mark.parametrize("more", [(), SWEEP])
def test_the_death_of_the_command_ends_every_process_and_the_next_one_removes_the_folder(
    tmp_path: Path, more: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CALL_FOLDER_GRACE_S", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with started(tmp_path, *more) as (process, pids):
        (left,) = (tmp_path / "tmp").glob(f"{PREFIX}*")
        with CallFolder():
            assert left.exists(), "it is in use"
        process.kill()
        process.communicate(timeout=60)
        until(lambda: not any(map(alive, pids)))
        assert left.exists()
        with CallFolder() as mine:
            assert not left.exists()
            assert mine.path.exists()
        assert not mine.path.exists()


def test_a_folder_that_was_made_just_now_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = tmp_path / f"{PREFIX}new"
    made.mkdir()
    with CallFolder() as mine:
        assert made.exists()
        fd = os.open(mine.path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(fd)
