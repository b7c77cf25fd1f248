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
from typing import Any

from pipeline.errors import RinglineError
from pipeline.telemetry.native import VARIABLE
from pipeline.telemetry.recorder import SHARED_MEMORY

FLOOD_S = 1.5
SETTLE_S = 1.5
CPU_S = 6.0
SCRAPES = 25
START_S = 20.0


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
        """Processor time so far, of all its threads (proc(5), stat fields 14 and 15)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
    """A process of writers that has said it is ready; it leaves when its standard input ends."""
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
        process.stdout.readline()
        yield process
        assert process.stdin is not None
        process.stdin.close()


def lossless(writer: str, rates: tuple[float, ...]) -> float | None:
    """The highest of these rates, records/s as measured, at which one writer lost nothing to a collector and
    every record arrived; None when none is. `writer`: RINGLINE_TELEMETRY of the writer's process.
    """
    best: float | None = None
    for rate in rates:
        reached = _flood(writer, rate)
        if reached is None:
            break
        best = reached
        if reached < 0.97 * rate:  # the writer itself cannot go faster
            break
    return best


def collector_cpu(rings: int, rate: float) -> float:
    """Percent of a core that a collector takes, serving nobody."""
    with collector() as served, writers(served, "steady", rings, rate):
        time.sleep(SETTLE_S)
        before_s, begun = served.cpu_s(), time.monotonic()
        time.sleep(CPU_S)
        return 100 * (served.cpu_s() - before_s) / (time.monotonic() - begun)


def scrape_ms(rings: int) -> float:
    """Median time of one GET /metrics over HTTP, with so many rings written to."""
    with collector() as served, writers(served, "steady", rings, 1000):
        time.sleep(SETTLE_S)
        taken = []
        for _ in range(SCRAPES):
            begun = time.perf_counter()
            served.get("/metrics")
            taken.append((time.perf_counter() - begun) * 1000)
        return statistics.median(taken)


def _flood(writer: str, rate: float) -> float | None:
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
        return None
    return float(said["written"] / said["seconds"])


def _arrived(served: Served) -> int:
    totals: list[dict[str, Any]] = json.loads(served.get("/v1/snapshot"))["totals"]
    return sum(total["count"] for total in totals if total["event"] == "AGENT_DECISION")
