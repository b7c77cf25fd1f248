"""What the telemetry bench measures end to end: writers and a real collector, each a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.clock import NS_PER_S
from pipeline.errors import RinglineError
from pipeline.telemetry.native import VARIABLE
from pipeline.telemetry.recorder import SHARED_MEMORY

FLOOD_S = 1.0
ABOVE_TARGET, STEP_UP, STEP_DOWN, LOWEST_SHARE = 1.06, 1.25, 0.7, 0.1
"""Of the rates tried."""
WRITERS_LIMIT = 0.97
"""A writer that reaches less of its rate was kept from it."""
ATTEMPTS = 4
SEARCH_S = 40.0
"""After so long the search takes larger steps."""
SETTLE_S = 1.5
CPU_S = 3.0
STRETCHES = 3
SCRAPES = 15
START_S = 20.0


class Rate(NamedTuple):
    """Records/s of a writer; the greater is the one with more a second of `running`."""

    running: float
    """By the time that it had a processor, or slept."""
    wall: float
    """By the time that passed."""


NONE = Rate(0.0, 0.0)


class Served:
    """A running collector."""

    def __init__(self, directory: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.directory = directory
        self.port = port
        self.process = process

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return bytes(answer.read())

    def cpu_s(self) -> float:
        """Processor time so far, of all its threads, to the nanosecond (proc(5), schedstat)."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / NS_PER_S


@contextmanager
def collector() -> Iterator[Served]:
    """A collector on a telemetry directory of its own. Raises RinglineError when it does not come up."""
    parent = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    directory = Path(tempfile.mkdtemp(prefix="ringline-bench-", dir=parent))
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    command = [sys.executable, "-m", "pipeline", "collector"]
    for setting in (
        f"telemetry.directory={directory}",
        f"telemetry.port={port}",
        f"data_dir={directory}/data",
    ):
        command += ["--set", setting]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    served = Served(directory, port, process)
    try:
        deadline = time.monotonic() + START_S
        while True:
            try:
                served.get("/healthz")
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RinglineError("the bench's collector does not come up") from None
                time.sleep(0.05)
        yield served
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def writers(served: Served, kind: str, *figures: float, writer: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process of writers whose rings the collector has found; it leaves when its standard input ends."""
    command = [sys.executable, "-m", "pipeline.bench.telemetry_writers", kind, str(served.directory)]
    process = subprocess.Popen(
        command + [f"{figure:g}" for figure in figures],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, VARIABLE: writer},
    )
    with process:
        assert process.stdout is not None
        rings: int = json.loads(process.stdout.readline())["rings"]
        deadline = time.monotonic() + START_S
        while json.loads(served.get("/healthz"))["rings"] < rings and time.monotonic() < deadline:
            time.sleep(0.01)
        yield process
        assert process.stdin is not None
        process.stdin.close()


def lossless(writer: str, target: float) -> Rate:
    """The highest rate, as measured, at which one writer lost nothing to a collector and every
    record arrived; 0 when even the lowest rate tried lost some. `writer`: RINGLINE_TELEMETRY of the writer.

    Rates rise from a little above the target until one is not reached, or fall until one is.
    """
    best = NONE
    rate = target * ABOVE_TARGET
    patience = time.monotonic() + SEARCH_S
    while (reached := _best_flood(writer, rate)).running and time.monotonic() < patience:
        best = max(best, reached)
        if reached.running < WRITERS_LIMIT * rate:  # the writer itself cannot go faster here
            return best
        rate *= STEP_UP
    best = max(best, reached)
    while not best.running and rate > target * LOWEST_SHARE:
        rate *= STEP_DOWN if time.monotonic() < patience else STEP_DOWN**3
        best = _best_flood(writer, rate)
    return best


def _best_flood(writer: str, rate: float) -> Rate:
    """Of several attempts the best, the first that reached the rate: what else the machine does can only
    take from what is reached."""
    best = NONE
    for _ in range(ATTEMPTS):
        best = max(best, _flood(writer, rate))
        if best.running >= WRITERS_LIMIT * rate:
            break
    return best


def collector_cpu(rings: int, rate: float) -> float:
    """Percent of a core that a collector takes, serving nobody: the median of several stretches of time."""
    with collector() as served, writers(served, "steady", rings, rate):
        time.sleep(SETTLE_S)
        return statistics.median(_cpu_percent(served) for _ in range(STRETCHES))


def scrape_ms(rings: int) -> float:
    """Time of one GET /metrics over HTTP, with so many rings written to: the median of the quietest of
    several rounds."""
    with collector() as served, writers(served, "steady", rings, 1000):
        time.sleep(SETTLE_S)
        return min(
            statistics.median(_get_ms(served, "/metrics") for _ in range(SCRAPES)) for _ in range(STRETCHES)
        )


def _cpu_percent(served: Served) -> float:
    before_s, begun = served.cpu_s(), time.monotonic()
    time.sleep(CPU_S)
    return 100 * (served.cpu_s() - before_s) / (time.monotonic() - begun)


def _get_ms(served: Served, path: str) -> float:
    begun = time.perf_counter()
    served.get(path)
    return (time.perf_counter() - begun) * 1000


def _flood(writer: str, rate: float) -> Rate:
    """NONE when any was lost."""
    with collector() as served, writers(served, "flood", rate, FLOOD_S, writer=writer) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        said = json.loads(process.stdout.readline())
        deadline = time.monotonic() + START_S
        while (arrived := _arrived(served)) + said["dropped"] < said[
            "written"
        ] and time.monotonic() < deadline:
            time.sleep(0.1)
        process.stdin.write("\n")
        process.stdin.flush()
    if said["dropped"] or arrived != said["written"]:
        return NONE
    return Rate(said["written"] / said["seconds"], said["written"] / said["wall_seconds"])


def _arrived(served: Served) -> int:
    totals: list[dict[str, Any]] = json.loads(served.get("/v1/snapshot"))["totals"]
    return sum(total["count"] for total in totals if total["event"] == "AGENT_DECISION")
