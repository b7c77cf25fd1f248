"""Far more than the pipeline takes: every refusal says when to come back, memory stays bounded, nothing that
was taken is lost, and afterwards all is as before."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from real_pipeline import SECRET, Client, Running, candle, make_config, wait_for

from pipeline.bench.gateway import post
from pipeline.bench.overload import Options, measure
from pipeline.bench.overload_results import results
from pipeline.config import Config
from pipeline.limits import MIB, MIN_SEGMENT_BYTES
from pipeline.replay.memory import measured_memory
from pipeline.storage.audit.engines import open_reader

REQUESTS = int(os.environ.get("RINGLINE_OVERLOAD_REQUESTS", "20000"))
CONNECTIONS = 256
NORMAL_S = 5.0
MORE_MEMORY_BYTES = 96 * MIB
KEY = base64.b64decode(SECRET.removeprefix("whsec_"))


def audited(config: Config) -> int:
    with contextlib.closing(open_reader(config)) as audit:
        return audit.head().seq


def memory_bytes(running: Running) -> int:
    pid = running.pid("gateway-0")
    assert pid is not None
    return sum(one.pss_bytes for one in measured_memory([("gateway-0", pid)]))


def overloaded(running: Running, config: Config) -> dict[int, int]:
    """Posts REQUESTS as fast as they are answered; how often each status was."""
    before = memory_bytes(running)
    answers = post(config.gateway.port, KEY, 0, REQUESTS, CONNECTIONS)
    assert set(answers.statuses) <= {202, 429, 503}
    assert answers.unexplained == 0
    assert memory_bytes(running) - before < MORE_MEMORY_BYTES
    return answers.statuses


def back_to_normal(config: Config, within_s: float) -> None:
    ended = time.monotonic()
    with contextlib.closing(Client(config)) as client:
        client.post_until_taken("afterwards", candle("AFTER", 0), within_s)
        started = time.monotonic()
        status, _, _ = client.post("once-more", candle("AFTER", 1))
    assert status == 202
    assert started - ended < within_s
    assert time.monotonic() - started < NORMAL_S


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ten_times_what_is_taken_is_refused_in_words_and_then_all_is_normal(tmp_path: Path) -> None:
    """The short form of `ringline bench overload`. How soon all is normal is the long form's to judge: here
    it comes at all, on a machine that does other things meanwhile."""
    options = Options(seconds=3, rate=100, connections=128, capacity_seconds=1.5, journal_bytes=MIB)
    folder = tmp_path / "bench"
    folder.mkdir()
    found, restarts = measure(make_config(tmp_path), options, lambda _: None, folder)
    rows = {row.name: row for row in results(found, options.times, restarts)}
    clocked = ("offered", "new requests as before", "all audited")
    assert not [row for name, row in rows.items() if row.met is False and not name.endswith(clocked)]
    limited, whole = found
    assert limited.answers.statuses[429] > limited.answers.statuses[202]
    assert whole.answers.statuses[503] > 0
    assert whole.answers.statuses[202] > 0
    assert all(one.normal_s is not None for one in found)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_with_the_audit_stuck_the_journal_fills_then_503_and_what_was_taken_is_audited(
    tmp_path: Path,
) -> None:
    source = {"secret_files": [str(tmp_path / "demo.whsec")]}
    config = make_config(
        tmp_path,
        journal={"max_bytes": MIB, "segment_bytes": MIN_SEGMENT_BYTES},
        sources={"bench": source, "demo": source},
    )
    with Running(config) as running:
        stuck = running.pid("audit-0")
        assert stuck is not None
        os.kill(stuck, signal.SIGSTOP)
        try:
            statuses = overloaded(running, config)
        finally:
            os.kill(stuck, signal.SIGCONT)
        assert statuses[503] > 0
        assert statuses[202] > 0
        wait_for(lambda: audited(config) >= statuses[202], "everything taken to be audited", 200)
        back_to_normal(config, NORMAL_S)
        wait_for(lambda: audited(config) == statuses[202] + 2, "the last two", 60)
