"""`ringline stress valuation`: the batch of three domains off and on, beside the reference figures."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from pipeline.bench.paired import Paired, paired_cost
from pipeline.bench.valuation_calls import NO_PSUTIL, Phase, interleaved, nearest_rank
from pipeline.bench.valuation_server import DOMAINS, POSITIONS, Client, Market, running_valuation, teach
from pipeline.config import Config
from pipeline.machine import Machine, machine, versions

LOOPS = {"nav_every_ms": 100, "snapshot_every_ms": 500}
"""While calls are measured the loops run ten times as often as they do by default."""
REFERENCE_OFF = (10.5, 9.55, 14.7)
REFERENCE_ON = (14.0, 13.2, 20.4)
"""Average, p50 and p95 (ms) of the system that this one is measured against: 200 calls, three domains."""
REFERENCE_COST_PERCENT = 33.0


class Line(Struct, frozen=True, kw_only=True):
    """One kind of call; milliseconds, and the service's processor time and memory beside them."""

    ensemble: bool
    calls: int
    avg_ms: float
    p50_ms: float
    p95_ms: float
    cpu_ms_a_call: float
    cpu_percent: float
    memory_mb: float | None
    answer_bytes: int
    reference_avg_ms: float
    reference_p50_ms: float
    reference_p95_ms: float


class Cost(Struct, frozen=True, kw_only=True):
    """Percent that the ensemble adds: the median of paired differences, and its bounds with 95 %."""

    percent: float
    low: float
    high: float
    reference: float = REFERENCE_COST_PERCENT


class Stress(Struct, frozen=True, kw_only=True):
    machine: Machine
    versions: dict[str, str]
    engine: str
    domains: int
    positions: int
    marks_moved: int
    """Before each pair of calls."""
    lines: tuple[Line, ...]
    ensemble_cost: Cost
    ensemble_cpu_cost: Cost
    note: str
    schema: int = 1


def run(config: Config, calls: int, say: Callable[[str], None]) -> Stress:
    """Starts a service of its own in a temporary folder. Raises MissingError."""
    folder = Path(tempfile.mkdtemp(prefix="ringline-stress-"))
    try:
        engine = config.valuation.engine
        say(f"a service with {len(DOMAINS)} domains of {POSITIONS} positions, engine {engine}")
        with running_valuation(config, folder, **LOOPS) as server:
            client = Client(server.port)
            market = Market(client, teach(client))
            off, on = interleaved(server, client, market, calls, say)
            client.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Stress(
        machine=machine(),
        versions=versions(),
        engine=config.valuation.engine,
        domains=len(DOMAINS),
        positions=POSITIONS,
        marks_moved=market.share,
        lines=(_line(False, off, REFERENCE_OFF), _line(True, on, REFERENCE_ON)),
        ensemble_cost=_cost(paired_cost(off.calls_ms, on.calls_ms)),
        ensemble_cpu_cost=_cost(paired_cost(off.cpu_ms, on.cpu_ms)),
        note=NO_PSUTIL if off.memory_mb is None else "",
    )


def rows(found: Stress) -> list[tuple[str, ...]]:
    """As a table for people, below `HEADINGS`."""
    made: list[tuple[str, ...]] = []
    for line in found.lines:
        reference = (line.reference_avg_ms, line.reference_p50_ms, line.reference_p95_ms)
        figures: tuple[Any, ...] = (line.avg_ms, line.p50_ms, line.p95_ms, *reference, line.cpu_ms_a_call)
        memory = "–" if line.memory_mb is None else f"{line.memory_mb:.0f}"
        made.append(
            ("on" if line.ensemble else "off", str(line.calls), *(f"{one:.2f}" for one in figures),
             f"{line.cpu_percent:.0f}", memory)
        )  # fmt: skip
    return made


HEADINGS = (
    "ensemble", "calls", "avg ms", "p50 ms", "p95 ms", "ref avg", "ref p50", "ref p95", "CPU ms a call",
    "CPU %", "memory MB",
)  # fmt: skip


def _line(ensemble: bool, phase: Phase, reference: tuple[float, float, float]) -> Line:
    return Line(
        ensemble=ensemble,
        calls=len(phase.calls_ms),
        avg_ms=round(sum(phase.calls_ms) / len(phase.calls_ms), 3),
        p50_ms=round(nearest_rank(phase.calls_ms, 50), 3),
        p95_ms=round(nearest_rank(phase.calls_ms, 95), 3),
        cpu_ms_a_call=round(sum(phase.cpu_ms) / len(phase.cpu_ms), 3),
        cpu_percent=round(phase.cpu_percent, 1),
        memory_mb=None if phase.memory_mb is None else round(phase.memory_mb, 1),
        answer_bytes=phase.bytes,
        reference_avg_ms=reference[0],
        reference_p50_ms=reference[1],
        reference_p95_ms=reference[2],
    )


def _cost(found: Paired) -> Cost:
    return Cost(percent=round(found.percent, 2), low=round(found.low, 2), high=round(found.high, 2))
