"""What surrounds a worker's work: signals, last words, exit codes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from pipeline.cli.serve import serve
from pipeline.config import Config
from pipeline.errors import ConfigError, MissingError
from pipeline.process import READY_FD, StopFlag, announce_ready


@pytest.fixture(autouse=True)
def _same_handlers_after_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def supervisor_pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    read, write = os.pipe()
    monkeypatch.setenv(READY_FD, str(write))
    yield read
    os.close(read)


def missing(stop: StopFlag) -> int:
    raise MissingError("port 8001 is in use")


def test_the_work_s_exit_code_is_the_worker_s() -> None:
    assert serve(Config(), lambda stop: 7) == 7


def test_sigterm_sets_the_flag_that_the_work_looks_at() -> None:
    def work(stop: StopFlag) -> int:
        signal.raise_signal(signal.SIGTERM)
        deadline_s, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 0 < deadline_s <= Config().supervisor.drain_s + 1
        return 0 if stop.is_set() else 1

    assert serve(Config(), work) == 0


def test_a_supervisor_hears_why_a_worker_cannot_start_and_nobody_else_does(
    supervisor_pipe: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert serve(Config(), missing) == 3
    assert os.read(supervisor_pipe, 100) == b"port 8001 is in use"
    assert capfd.readouterr().err == ""


def test_without_a_supervisor_the_command_line_tells_it() -> None:
    with pytest.raises(MissingError, match="port 8001 is in use"):
        serve(Config(), missing)


def test_a_fault_after_readiness_is_the_command_line_s_to_tell(supervisor_pipe: int) -> None:
    def work(stop: StopFlag) -> int:
        announce_ready()
        raise ConfigError(["later"])

    with pytest.raises(ConfigError):
        serve(Config(), work)
    assert os.read(supervisor_pipe, 100) == b"ready\n"
