"""`ringline bench pipeline`: how fast and how big the whole pipeline is, beside this machine's own limits.

Two phases over one pipeline with one worker a stage, client included, on real bars under many keys: an open
loop at a fixed rate for the latency, a closed loop at the highest rate for the throughput.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeline.bench.disk import fdatasync_p95_ms
from pipeline.clock import NS_PER_MS, NS_PER_S, US_PER_S, SystemClock
from pipeline.config import Config
from pipeline.errors import RinglineError
from pipeline.figures import Bench, Result, at_least, at_most, exactly, shown
from pipeline.machine import machine, versions
from pipeline.process import StopFlag
from pipeline.replay import client_process, spec
from pipeline.replay.audit_view import Verified
from pipeline.replay.drive import Drive
from pipeline.replay.running import Running, pss_bytes
from pipeline.snapshot import Latency, Snapshot

FIXED_MS = 10.0
SYNCS = 4
"""The wanted p95 is 10 ms + 4 × that of a bare fdatasync: journal and audit each wait for at most one commit
under way and then for their own."""
WANTED_PER_S = 2000.0
MB = 1_000_000
WANTED_MB = 300.0
REFERENCE_MB = 620.0
"""What the reference's services take under load."""
CEILING_S = 2.0


class BenchOptions(Struct, frozen=True, kw_only=True):
    """Durations, and the open loop's rate. `keys` bounds what runs in parallel: one connection a key."""

    seconds: float = 10.0
    rate: float = 500.0
    keys: int = 64


class Figures(Struct, kw_only=True):
    """What was measured, before it is judged."""

    fdatasync_p95_ms: float
    ceiling_per_s: float
    end_to_end: Latency | None
    open_result: spec.Result
    closed_result: spec.Result
    closed_s: float
    rows: int
    memory_bytes: int
    verified: Verified


def run(config: Config, options: BenchOptions, say: Callable[[str], None]) -> Bench:
    """Measures on a fresh data folder beside the configured one, which is removed afterwards.

    `say` gets a line now and then. Raises RinglineError when the pipeline fails on the way.
    """
    parent = Path(config.data_dir).resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".ringline-bench-", dir=parent))
    try:
        figures = measure(one_worker_a_stage(config, folder), options, say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Bench(machine=machine(), versions=versions(), results=results(figures, options))


def one_worker_a_stage(config: Config, data_dir: Path) -> Config:
    replace = msgspec.structs.replace
    return replace(
        config,
        data_dir=str(data_dir),
        agent=replace(config.agent, workers=1),
        exec=replace(config.exec, workers=1),
        audit=replace(config.audit, workers=1),
    )


def measure(config: Config, options: BenchOptions, say: Callable[[str], None]) -> Figures:
    stop = StopFlag()
    stop.listen()
    with Running(config, say) as running:
        if not running.start(stop):
            raise RinglineError("interrupted")
        base = msgspec.structs.replace(running.task("bench"), keys=options.keys)
        say("the limits: the client against a server that only answers, and the disk")
        ceiling_per_s = client_ceiling(base)
        fdatasync_ms = fdatasync_p95_ms(Path(config.data_dir))
        drive = Drive(running, stop, lambda _phase, _progress: None, SystemClock())
        say(f"open loop, {options.rate:g} events/s for {options.seconds:g} s over {options.keys} keys")
        opened = _play(
            drive, msgspec.structs.replace(base, rate=options.rate, duration_s=options.seconds), stop
        )
        rows = drive.settle(opened)
        end_to_end = _end_to_end(running.last_snapshot(rows))
        say(f"closed loop, the highest rate for {options.seconds:g} s")
        closed = _play(
            drive, msgspec.structs.replace(base, first=opened.accepted, duration_s=options.seconds), stop
        )
        rows = drive.settle(closed, rows)
        closed_s = (drive.last_row_ns - closed.first_sent_ns) / NS_PER_S
        running.measure_memory()
        memory_bytes = pss_bytes(running.highest_memory)
        running.supervisor.stop()
        verified = running.audit.verify()
    return Figures(
        fdatasync_p95_ms=fdatasync_ms,
        ceiling_per_s=ceiling_per_s,
        end_to_end=end_to_end,
        open_result=opened,
        closed_result=closed,
        closed_s=closed_s,
        rows=rows,
        memory_bytes=memory_bytes,
        verified=verified,
    )


def results(figures: Figures, options: BenchOptions) -> tuple[Result, ...]:
    """The figures judged: pure, so that the rules can be tested without a pipeline."""
    sync_ms = figures.fdatasync_p95_ms
    wanted_ms = FIXED_MS + SYNCS * sync_ms
    limit = f"bare fdatasync p95, {sync_ms:.3g} ms"
    found = figures.end_to_end
    accepted = figures.open_result.total + figures.closed_result.total
    per_s = figures.closed_result.total / figures.closed_s
    at_rate = f"accept to settled at {options.rate:g}/s"
    closed = figures.closed_result
    return (
        shown("fdatasync p95", sync_ms, "ms", "the data folder's disk, nothing else on it"),
        shown(f"{at_rate}, p50", _ms(found.p50_ns if found else None), "ms", limit, sync_ms),
        at_most(f"{at_rate}, p95", _ms(found.p95_ns if found else None), "ms", wanted_ms, limit, sync_ms),
        shown(f"{at_rate}, p99", _ms(found.p99_ns if found else None), "ms", limit, sync_ms),
        shown("sent to 202, p95", figures.open_result.times.p95_ms, "ms", limit, sync_ms),
        shown("offered rate reached", _rate(figures.open_result), "events/s", "asked for", options.rate),
        at_least(
            "accepted and audited",
            per_s,
            "events/s",
            WANTED_PER_S,
            f"the same client and a server that only answers, {figures.ceiling_per_s:,.0f}/s",
            figures.ceiling_per_s,
        ),
        shown(
            "client CPU an event",
            closed.cpu_s / closed.total * US_PER_S if closed.total else None,
            "µs",
            "one processor's time at this rate",
            US_PER_S / per_s,
        ),
        at_most(
            "memory of all processes, PSS",
            figures.memory_bytes / MB,
            "MB",
            WANTED_MB,
            f"the reference's services under load, {REFERENCE_MB:g} MB",
            REFERENCE_MB,
        ),
        exactly("audited", figures.rows, "rows", accepted, "accepted"),
        exactly("chain verified", float(figures.verified.ok), "", 1.0, "1 is yes"),
    )


def client_ceiling(base: spec.Task) -> float:
    """Events per second of the same client against a server that accepts everything and keeps nothing."""
    server = subprocess.Popen(
        (sys.executable, "-m", "pipeline.replay.fake_gateway"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        client = client_process.ClientProcess(
            msgspec.structs.replace(base, host="127.0.0.1", port=port, duration_s=CEILING_S)
        )
        try:
            result = client.wait()
        finally:
            client.kill()
    return result.total / result.elapsed_s if result.elapsed_s else 0.0


def _play(drive: Drive, task: spec.Task, stop: StopFlag) -> spec.Result:
    result = drive.post(task)
    if result.fault or stop.is_set():
        raise RinglineError(result.fault or "interrupted")
    return result


def _end_to_end(snapshot: Snapshot | None) -> Latency | None:
    totals = snapshot.totals if snapshot is not None else ()
    return next((found for found in totals if found.event == "END_TO_END"), None)


def _rate(result: spec.Result) -> float | None:
    return result.total / result.elapsed_s if result.elapsed_s else None


def _ms(value_ns: int | None) -> float | None:
    return None if value_ns is None else value_ns / NS_PER_MS
