from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pipeline.clock import SystemClock
from pipeline.errors import MissingError, RinglineError
from pipeline.process import StopFlag
from pipeline.replay.drive import Drive
from pipeline.replay.spec import Progress, Result, Task, Times
from pipeline.signing import secret_text


class FakePipeline:
    """Its audit has one row more each time it is asked, up to `rows`."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.lost: str = ""
        self.measured: list[tuple[tuple[str, int], ...]] = []
        self._asked = itertools.count()

    def poll(self) -> None:
        if self.lost:
            raise MissingError(self.lost)

    def audited(self) -> int:
        return min(self.rows, next(self._asked))

    def measure_memory(self, *others: tuple[str, int]) -> None:
        self.measured.append(others)


@pytest.fixture
def stop() -> Iterator[StopFlag]:
    flag = StopFlag()
    yield flag
    flag.close()


@pytest.fixture
def task() -> Iterator[Task]:
    server = subprocess.Popen(
        [sys.executable, "-m", "pipeline.replay.fake_gateway"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        secret = secret_text(b"k" * 32)
        yield Task(host="127.0.0.1", port=port, source="demo", secret=secret, run_id="r", limit=400)


def result(total: int, unconfirmed: int = 0) -> Result:
    return Result(
        accepted={"A": total}, unconfirmed=unconfirmed, repeated=0, retries={}, elapsed_s=1, cpu_s=0,
        first_sent_ns=1, last_accepted_ns=2, times=Times(),
    )  # fmt: skip


def quiet(_phase: str, _progress: Progress | None) -> None:
    pass


def test_a_task_is_posted_while_the_workers_are_looked_after(stop: StopFlag, task: Task) -> None:
    phases: list[str] = []
    pipeline = FakePipeline(0)
    drive = Drive(pipeline, stop, lambda phase, _: phases.append(phase), SystemClock())
    assert drive.post(task).total == 400
    assert set(phases) == {"replaying"}


def test_asked_to_stop_the_client_finishes_and_still_tells(stop: StopFlag, task: Task) -> None:
    stop.set()
    found = Drive(FakePipeline(0), stop, quiet, SystemClock()).post(task)
    assert found.total <= 400
    assert not found.fault


def test_a_lost_worker_ends_the_posting(stop: StopFlag, task: Task) -> None:
    pipeline = FakePipeline(0)
    pipeline.lost = "agent-0 exited with 1, and its budget of 10 restarts is spent"
    with pytest.raises(MissingError, match="budget"):
        Drive(pipeline, stop, quiet, SystemClock()).post(task)


def test_settling_ends_when_every_accepted_event_has_its_row(stop: StopFlag) -> None:
    drive = Drive(FakePipeline(100), stop, quiet, SystemClock())
    assert drive.settle(result(5)) == 5
    assert drive.last_row_ns > 0


def test_rows_of_an_earlier_task_do_not_count(stop: StopFlag) -> None:
    assert Drive(FakePipeline(100), stop, quiet, SystemClock()).settle(result(5), rows_before=7) == 12


def test_rows_that_stop_coming_are_a_fault(stop: StopFlag, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.replay.drive.SETTLE_PATIENCE_S", 0.05)
    with pytest.raises(RinglineError, match="2 accepted events are not audited"):
        Drive(FakePipeline(3), stop, quiet, SystemClock()).settle(result(5))


def test_after_an_interrupt_patience_is_shorter(stop: StopFlag, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.replay.drive.INTERRUPTED_PATIENCE_S", 0.05)
    stop.set()
    with pytest.raises(RinglineError, match="not audited"):
        Drive(FakePipeline(3), stop, quiet, SystemClock()).settle(result(5))


def test_after_unanswered_requests_settling_waits_for_quiet(
    stop: StopFlag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.replay.drive.QUIET_S", 0.05)
    drive = Drive(FakePipeline(7), stop, quiet, SystemClock())
    assert drive.settle(result(5, unconfirmed=2)) == 7


def test_memory_is_measured_while_settling(stop: StopFlag) -> None:
    pipeline = FakePipeline(100)
    Drive(pipeline, stop, quiet, SystemClock()).settle(result(5))
    assert pipeline.measured == [()]
