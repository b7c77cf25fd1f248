"""The pipeline over the time of a test: what its collector says each second, and its processes' memory."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from loadtests import limits
from loadtests.facts import Change
from loadtests.pipeline_child import ringline_json
from loadtests.task import Task
from loadtests.web import fetch
from pipeline.errors import RinglineError
from pipeline.snapshot import Snapshot, decode_snapshot

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
WINDOW_S = 1.0


class Sample(Struct, frozen=True, kw_only=True):
    """One look at the collector. `at_s` is wall clock; lag and depth by stage; end to end over the last
    second."""

    at_s: float
    lag_ms: dict[str, float]
    depth: dict[str, int]
    replicas: dict[str, int]
    end_to_end_p95_ms: float | None
    trade_throttled: int
    flow_throttled: int


class Reading(Struct, frozen=True, kw_only=True):
    """One process at one moment: seconds of processor time since it began, and its memory."""

    at_s: float
    pid: int
    cpu_s: float | None
    cpu_percent: float | None
    memory_bytes: int | None


class Samples:
    """Collects in a thread of its own until `stop`. Looks into /proc where the pipeline runs here, and
    takes the workers' own word where it does not."""

    def __init__(self, task: Task, others: Callable[[], Sequence[tuple[str, int]]] = lambda: ()) -> None:
        """`others` are further processes of this machine (name, pid) to be read."""
        self.samples: list[Sample] = []
        self.readings: dict[str, list[Reading]] = {}
        self.last: Snapshot | None = None
        self.restarts: dict[str, int] = {}
        self.changes: tuple[Change, ...] = ()
        """Of the embedded autoscaler."""
        self._task = task
        self._others = others
        self._pids: list[tuple[str, int]] = []
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._collect, daemon=True)

    def start(self) -> None:
        self._refresh()
        self._thread.start()

    def stop(self) -> None:
        """Looks one last time. Harmless when it was never started."""
        self._leave.set()
        if self._thread.ident is not None:
            self._thread.join(30)

    def _collect(self) -> None:
        memory_s = refresh_s = time.monotonic()
        while not self._leave.wait(limits.SAMPLE_EVERY_S):
            self._look()
            if time.monotonic() >= memory_s:
                memory_s = time.monotonic() + limits.MEMORY_EVERY_S
                self._read()
            if time.monotonic() >= refresh_s + 60:
                refresh_s = time.monotonic()
                self._refresh()
        self._look()
        self._read()
        self._refresh()

    def _look(self) -> None:
        if not self._task.collector_url:
            return
        with contextlib.suppress(RinglineError, msgspec.DecodeError, UnicodeDecodeError):
            page = fetch(f"{self._task.collector_url}/v1/snapshot")
            if page.status == 200:
                self.last = decode_snapshot(page.body)
                self.samples.append(sample_of(self.last, time.time()))

    def _read(self) -> None:
        now_s = time.time()
        local = [*self._pids, *self._others()]
        for name, pid in local:
            if (found := read_process(pid, now_s)) is not None:
                self.readings.setdefault(name, []).append(found)
        if not self._pids and self.last is not None:
            for replica in self.last.replicas:
                self.readings.setdefault(replica.name, []).append(
                    Reading(
                        at_s=now_s,
                        pid=0,
                        cpu_s=None,
                        cpu_percent=replica.cpu_percent,
                        memory_bytes=replica.memory_bytes,
                    )
                )

    def _refresh(self) -> None:
        """Who runs, by the product's own word: pids change when a worker is started again."""
        if not self._task.data_dir:
            return
        with contextlib.suppress(RinglineError):
            found: Any = ringline_json(self._task, ("status", "--json"))
            status = found.get("status") if isinstance(found, dict) else None
            if not isinstance(status, dict):
                return
            self.changes = changes_of(found.get("autoscale"))
            processes = [process for process in status["processes"] if process["pid"]]
            self._pids = [("supervisor", status["pid"])]
            self._pids += [(process["name"], process["pid"]) for process in processes]
            self.restarts = {process["name"]: process["restarts"] for process in processes}


def changes_of(said: Any) -> tuple[Change, ...]:
    """What `ringline status --json` says of the autoscaler; nothing where there is none."""
    try:
        return msgspec.convert(said["changes"], tuple[Change, ...]) if said else ()
    except (KeyError, TypeError, msgspec.ValidationError):
        return ()


def sample_of(snapshot: Snapshot, at_s: float) -> Sample:
    """What is kept of a snapshot."""
    counts = [count for stage in snapshot.stages for count in stage.counts if count.window_s == WINDOW_S]
    end_to_end = next(
        (found for found in snapshot.latencies if found.event == "END_TO_END" and found.window_s == WINDOW_S),
        None,
    )
    value_ns = end_to_end.p95_ns if end_to_end is not None else None
    replicas: dict[str, int] = {}
    for replica in snapshot.replicas:
        replicas[replica.stage] = replicas.get(replica.stage, 0) + 1
    return Sample(
        at_s=at_s,
        lag_ms={stage.stage: stage.lag_ms for stage in snapshot.stages if stage.lag_ms is not None},
        depth={stage.stage: stage.depth for stage in snapshot.stages},
        replicas=replicas,
        end_to_end_p95_ms=None if value_ns is None else value_ns / 1e6,
        trade_throttled=sum(count.trade_throttled for count in counts),
        flow_throttled=sum(count.flow_throttled for count in counts),
    )


def read_process(pid: int, at_s: float) -> Reading | None:
    """Processor time of a process here and its share of memory, but for what it has of files: of a library
    each has a share that others change by coming and going. None when it is gone or foreign."""
    try:
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        )
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return None
    named = (line.partition(":") for line in rollup.splitlines()[1:])
    kib = {name: int(rest.split()[0]) for name, _, rest in named}
    pss = kib.get("Pss")
    return Reading(
        at_s=at_s,
        pid=pid,
        cpu_s=(int(fields[11]) + int(fields[12])) / TICKS_PER_S,
        cpu_percent=None,
        memory_bytes=None if pss is None else (pss - kib.get("Pss_File", 0)) * 1024,
    )
