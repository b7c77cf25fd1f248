"""Measures what an event costs on this machine: the whole pipeline at its highest rate for some seconds.

Processor time is the kernel's account of each worker, so a machine that does other things as well hardly
changes it; a rate would.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from pipeline.bench.disk import fdatasync_p95_ms
from pipeline.bench.pipeline import one_worker_a_stage
from pipeline.clock import SystemClock
from pipeline.config import Config
from pipeline.errors import RinglineError
from pipeline.machine import machine
from pipeline.plan.capacity import STAGES, Capacity, StageCapacity
from pipeline.process import StopFlag
from pipeline.replay.drive import Drive
from pipeline.replay.running import Running

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
LEAST_EVENTS = 500
"""Fewer say nothing: the kernel counts processor time in hundredths of a second."""


def measure(config: Config, seconds: float, keys: int, say: Callable[[str], None]) -> Capacity:
    """On a data folder of its own, which is removed. Raises RinglineError when the pipeline fails."""
    parent = Path(config.data_dir).resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".ringline-plan-", dir=parent))
    try:
        return _measure(one_worker_a_stage(config, folder), folder, seconds, keys, say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure(config: Config, folder: Path, seconds: float, keys: int, say: Callable[[str], None]) -> Capacity:
    stop = StopFlag()
    stop.listen()
    with Running(config, say) as running:
        if not running.start(stop):
            raise RinglineError("interrupted")
        base = msgspec.structs.replace(running.task("plan"), keys=keys)
        drive = Drive(running, stop, lambda _phase, _progress: None, SystemClock())
        commit_ms = fdatasync_p95_ms(folder)
        pids = [(process.name, process.pid) for process in running.supervisor.processes()]
        before, held = _cpu_s(pids), _bytes_of(folder)
        say(f"the whole pipeline at its highest rate for {seconds:g} s over {keys} keys")
        result = drive.post(msgspec.structs.replace(base, duration_s=seconds))
        if result.fault or stop.is_set():
            raise RinglineError(result.fault or "interrupted")
        rows = drive.settle(result)
        after, now = _cpu_s(pids), _bytes_of(folder)
        memory = {found.name: found.pss_bytes for found in running.measure_memory()}
    if rows < LEAST_EVENTS:
        raise RinglineError(f"{rows} events in {seconds:g} s say nothing; give --seconds more")
    return Capacity(
        source=f"measured here for {seconds:g} s: {machine().cpus} × {machine().cpu}",
        events=rows,
        stages={
            stage: StageCapacity(
                cpu_us=max(1.0, (after[f"{stage}-0"] - before[f"{stage}-0"]) * 1e6 / rows),
                memory_bytes=memory.get(f"{stage}-0", 0),
            )
            for stage in STAGES
        },
        beside_bytes=sum(size for name, size in memory.items() if name.partition("-")[0] not in STAGES),
        journal_bytes=(now[0] - held[0]) / rows,
        audit_bytes=(now[1] - held[1]) / rows,
        journal_commit_ms=commit_ms,
        audit_commit_ms=commit_ms,
    )


def _cpu_s(pids: Iterable[tuple[str, int]]) -> dict[str, float]:
    found = {}
    for name, pid in pids:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        fields = text.rpartition(")")[2].split()
        found[name] = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return found


def _bytes_of(folder: Path) -> tuple[int, int]:
    """Bytes in use by the journal's records and by the audit."""
    journal = sum(_written(file) for file in (folder / "journal").glob("*") if file.is_file())
    audit = sum(file.stat().st_size for file in folder.glob("audit.sqlite*"))
    return journal, audit


def _written(file: Path) -> int:
    """What is written of a file whose space was taken beforehand."""
    data = file.read_bytes()
    return len(data.rstrip(b"\0"))
