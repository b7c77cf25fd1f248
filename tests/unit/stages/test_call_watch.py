"""A process whose user's call does not come back ends, and the next one knows."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from pipeline import limits
from pipeline.errors import MissingError
from pipeline.stages.call_watch import CallWatch, take_hang
from pipeline.trading.plugin import HungError

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from pipeline.stages.call_watch import CallWatch
from pipeline.trading.plugin import guarded, watch_calls

def quick(): return 1
def sleeping(): time.sleep(60)
def in_c(): sum(range(10**12))
def killed(): os.kill(os.getpid(), signal.SIGKILL)
def leaving():
    assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 0.5
    os._exit(0 if left_s() > 19 else 3)
def segfault(): os.kill(os.getpid(), signal.SIGSEGV)

def left_s():
    signal.setitimer(signal.ITIMER_REAL, 20)
    watch.enter("x")
    watch.leave()
    return signal.getitimer(signal.ITIMER_REAL)[0]

if sys.argv[3] == "first":
    os.getpid = lambda: 1
watch = CallWatch(Path(sys.argv[1]), "agent-0", 0.5)
watch_calls(watch)
assert guarded("quick", quick) == 1
guarded("custom(x)", globals()[sys.argv[2]])
"""


def ended(folder: Path, call: str, kind: str = "") -> int:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), call, kind],
        stderr=subprocess.PIPE, timeout=60, check=False,
    ).returncode  # fmt: skip


class Silent:
    """An alarm that nobody hears: the test's own process has to live."""

    def __init__(self, hung: BinaryIO) -> None:
        self.started = 0

    def start(self, limit_s: float) -> None:
        self.started += 1

    def stop(self) -> None:
        self.started -= 1


def next_one(folder: Path) -> CallWatch:
    return CallWatch(folder, "agent-0", 5, Silent)


@pytest.mark.parametrize("call", ["sleeping", "in_c"])
def test_one_that_hangs_is_ended_by_the_kernel_and_refused_after_the_second_time(
    tmp_path: Path, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(limits.MAX_HANGS):
        assert ended(tmp_path, call) == -signal.SIGALRM
    with contextlib.closing(next_one(tmp_path)) as watch:
        assert watch.died_in is not None
        assert watch.died_in.tag == "custom(x)"
        assert f"in {call}" in watch.died_in.traceback
        assert "custom(x) hung 2 times and is refused until its code changes" in caplog.text
        with pytest.raises(HungError):
            watch.enter("custom(x)")
        watch.enter("custom(y)")
        watch.leave()
    with contextlib.closing(next_one(tmp_path)) as watch:
        assert watch.refused == {"custom(x)"}, "also after the next start"


def test_a_container_s_first_process_is_ended_without_a_signal(tmp_path: Path) -> None:
    assert ended(tmp_path, "in_c", "first") == 1
    found = take_hang(tmp_path, "agent-0")
    assert found is not None
    assert found.tag == "custom(x)"


@pytest.mark.parametrize("call", ["killed", "segfault"])
def test_what_somebody_else_ended_is_not_counted(tmp_path: Path, call: str) -> None:
    assert ended(tmp_path, call) < 0
    with contextlib.closing(next_one(tmp_path)) as watch:
        assert (watch.died_in, watch.refused) == (None, frozenset())


def test_where_somebody_else_ended_it_is_told_to_the_next_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert ended(tmp_path, "killed") < 0
    with contextlib.closing(next_one(tmp_path)):
        assert "agent-0 ended inside custom(x) the last time" in caplog.text
    caplog.clear()
    with contextlib.closing(next_one(tmp_path)):
        assert not caplog.text


def test_a_call_may_have_a_limit_of_its_own_and_it_is_told(tmp_path: Path) -> None:
    program = PROGRAM.replace(
        'guarded("custom(x)", globals()[sys.argv[2]])', 'watch.enter("long", 1.25); sleeping()'
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path), "", ""], timeout=60, check=False)
    assert done.returncode == -signal.SIGALRM
    found = take_hang(tmp_path, "agent-0")
    assert found is not None
    assert (found.tag, found.limit_s) == ("long", 1.25)


def test_an_alarm_that_was_set_before_goes_on(tmp_path: Path) -> None:
    assert ended(tmp_path, "leaving") == 0


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingError, match="file"):
        next_one(tmp_path / "file" / "calls")
