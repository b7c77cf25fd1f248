"""Signals and pipes are the real ones; what would end the test process runs in a process of its own."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from pipeline.process import READY_FD, StopFlag, announce_failure, announce_ready, die_with_parent

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stop() -> Iterator[StopFlag]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    flag = StopFlag()
    yield flag
    for number, handler in before.items():
        signal.signal(number, handler)
    flag.close()


def readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def test_a_flag_is_unset_until_somebody_sets_it(stop: StopFlag) -> None:
    assert not stop.is_set()
    assert not readable(stop.fd)
    assert not stop.wait(0)
    stop.set()
    stop.set()
    assert stop.is_set()
    assert readable(stop.fd)
    assert stop.wait()
    assert stop.signal == 0


def test_a_signal_sets_it_and_is_remembered(stop: StopFlag) -> None:
    stop.listen()
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)
    assert stop.is_set()
    assert stop.signal == signal.SIGINT


def test_a_sleeper_wakes_when_it_is_set(stop: StopFlag) -> None:
    thread = threading.Thread(target=stop.set)
    thread.start()
    assert stop.wait(60)
    thread.join()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_signal_wakes_an_event_loop_that_watches_the_descriptor(stop: StopFlag, new_loop: object) -> None:
    async def serve() -> None:
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(stop.fd, woken.set)
        loop.call_later(0.01, os.kill, os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(woken.wait(), 20)
        loop.remove_reader(stop.fd)

    stop.listen()
    with asyncio.Runner(loop_factory=new_loop) as runner:  # type: ignore[arg-type]
        runner.run(serve())
    assert stop.is_set()


@pytest.fixture
def ready_pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    read, write = os.pipe()
    monkeypatch.setenv(READY_FD, str(write))
    yield read
    os.close(read)


def test_readiness_is_one_word_and_said_once(ready_pipe: int) -> None:
    announce_ready()
    announce_ready()
    assert not announce_failure("too late")
    assert os.read(ready_pipe, 100) == b"ready\n"
    assert os.read(ready_pipe, 100) == b""
    assert READY_FD not in os.environ


def test_a_failure_is_told_in_its_own_words(ready_pipe: int) -> None:
    assert announce_failure("port 8001 is in use\nand so is 8002")
    assert os.read(ready_pipe, 100) == b"port 8001 is in use\nand so is 8002"
    assert os.read(ready_pipe, 100) == b""


def test_without_a_supervisor_there_is_nobody_to_tell() -> None:
    announce_ready()
    assert not announce_failure("nobody hears")
    die_with_parent()


def test_a_supervisor_that_is_gone_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    monkeypatch.setenv(READY_FD, str(write))
    assert not announce_failure("nobody hears")


def test_a_process_that_ignores_its_flag_is_ended_by_the_kernel() -> None:
    program = (
        "import signal, time\n"
        "from pipeline.process import StopFlag\n"
        "StopFlag().listen(leave_after_s=0.05)\n"
        "signal.raise_signal(signal.SIGTERM)\n"
        "time.sleep(600)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], timeout=20, env=environment, check=False)
    assert done.returncode == -signal.SIGALRM
