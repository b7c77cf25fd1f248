from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pipeline.errors import RinglineError
from pipeline.replay.client_process import ClientProcess
from pipeline.replay.spec import Result, Task, encode_line
from pipeline.signing import secret_text


@pytest.fixture
def gateway_port() -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.replay.fake_gateway"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    yield int(process.stdout.readline())
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()


def task(port: int, secret: str = secret_text(b"k" * 32), rate: float | None = None) -> Task:
    return Task(host="127.0.0.1", port=port, source="demo", secret=secret, run_id="r", rate=rate)


def ended(client: ClientProcess) -> Result:
    deadline = time.monotonic() + 30
    while (result := client.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return result


def test_a_client_process_posts_the_whole_history(gateway_port: int) -> None:
    client = ClientProcess(task(gateway_port))
    result = ended(client)
    assert result.total == 12_154
    assert result.cpu_s / result.total < 0.001


def test_a_client_process_stops_when_told_and_still_reports(gateway_port: int) -> None:
    client = ClientProcess(task(gateway_port, rate=50.0))
    while client.progress is None or not client.progress.accepted:
        assert client.poll() is None
        time.sleep(0.01)
    client.stop()
    result = ended(client)
    assert result.stopped
    assert 0 < result.total < 12_154


def test_a_client_process_stops_when_its_job_dies(gateway_port: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.replay.client"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(encode_line(task(gateway_port, rate=5.0)))
    process.stdin.close()
    assert process.wait(30) == 0
    assert process.stdout is not None
    assert b'"stopped":true' in process.stdout.read()
    process.stdout.close()


def test_a_client_that_cannot_work_is_reported_in_its_own_words() -> None:
    client = ClientProcess(task(1, secret="whsec_!!"))
    with pytest.raises(RinglineError, match="secret of source demo"):
        ended(client)


def test_a_client_that_is_killed_is_reported() -> None:
    client = ClientProcess(task(1))
    os.kill(client.pid, 9)
    with pytest.raises(RinglineError, match="no result"):
        ended(client)


def test_killing_a_client_leaves_no_process(gateway_port: int) -> None:
    client = ClientProcess(task(gateway_port, rate=5.0))
    client.kill()
    client.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(client.pid, 0)
