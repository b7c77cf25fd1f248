"""The plan: for each phase the fewest workers that keep each stage's p95 with headroom. Pure."""

from __future__ import annotations

import math

from msgspec import Struct

from pipeline.plan.capacity import STAGES, Capacity
from pipeline.plan.phases import ALONE, WANTED_P95_MS, Assumptions, Phase
from pipeline.plan.queueing import fullest, wait_quantile_s

MOST_WORKERS = 10_000
"""Of one stage in one region; a load that takes more is none for this design."""


class StagePlan(Struct, frozen=True, kw_only=True):
    """One stage in one region at the peak."""

    stage: str
    workers: int
    busy: float
    """Share of its time that the fullest worker is busy."""
    p95_ms: float
    wanted_p95_ms: float
    cores: float
    """Busy at the peak, all workers together; a worker needs up to one."""
    memory_bytes: int
    needs: str = ""
    """What this version lacks for so many; empty where it has it."""


class PhasePlan(Struct, frozen=True, kw_only=True):
    """One phase. Everything is of one region, but for `regions` and the day's bytes, which are of all."""

    phase: Phase
    peak_per_s: float
    """Events a second in the peak second of one region."""
    stages: tuple[StagePlan, ...]
    workers: int
    cores: float
    memory_bytes: int
    journal_bytes_a_day: float | None
    audit_bytes_a_day: float | None


def plan(phase: Phase, capacity: Capacity, assumed: Assumptions) -> PhasePlan:
    """What `phase` takes."""
    peak_per_s = phase.region_per_s * assumed.burst
    stages = tuple(stage_plan(name, peak_per_s, capacity, assumed) for name in STAGES)
    return PhasePlan(
        phase=phase,
        peak_per_s=peak_per_s,
        stages=stages,
        workers=sum(stage.workers for stage in stages),
        cores=sum(stage.cores for stage in stages),
        memory_bytes=sum(stage.memory_bytes for stage in stages) + capacity.beside_bytes,
        journal_bytes_a_day=_a_day(phase, capacity.journal_bytes),
        audit_bytes_a_day=_a_day(phase, capacity.audit_bytes),
    )


def stage_plan(name: str, peak_per_s: float, capacity: Capacity, assumed: Assumptions) -> StagePlan:
    """The fewest workers of which the fullest keeps the p95 and the headroom."""
    one = capacity.stages[name]
    wanted_ms = WANTED_P95_MS[name]
    workers = max(1, math.ceil(peak_per_s / (one.per_s * assumed.use)))
    while workers < MOST_WORKERS and not _suffices(name, workers, peak_per_s, capacity, assumed):
        workers += max(1, workers // 50)
    return StagePlan(
        stage=name,
        workers=workers,
        busy=busy(workers, peak_per_s, one.per_s, assumed),
        p95_ms=p95_ms(name, workers, peak_per_s, capacity, assumed),
        wanted_p95_ms=wanted_ms,
        cores=peak_per_s / one.per_s,
        memory_bytes=workers * one.memory_bytes,
        needs=ALONE.get(name, "") if workers > 1 else "",
    )


def busy(workers: int, peak_per_s: float, per_s: float, assumed: Assumptions) -> float:
    """Of the fullest worker."""
    return peak_per_s / workers * fullest(workers, assumed.keys) / per_s


def p95_ms(name: str, workers: int, peak_per_s: float, capacity: Capacity, assumed: Assumptions) -> float:
    """Wait by Kingman, service, and the commit of a stage that commits: at most that under way and its own.

    What a commit of the journal lets go reaches the agents at once: one that is busy a share ρ of its time
    works for ρ commits on it, and the last of it waits as long.
    """
    one = capacity.stages[name]
    rho = busy(workers, peak_per_s, one.per_s, assumed)
    wait_s = wait_quantile_s(0.95, rho, 1 / one.per_s, assumed.ca2, assumed.cs2)
    commit_ms = {"gateway": capacity.journal_commit_ms, "audit": capacity.audit_commit_ms}.get(name, 0.0)
    batch_ms = 0.95 * rho * capacity.journal_commit_ms if name == "agent" else 0.0
    return (wait_s + 1 / one.per_s) * 1000 + 2 * commit_ms + batch_ms


def _suffices(name: str, workers: int, peak_per_s: float, capacity: Capacity, assumed: Assumptions) -> bool:
    if busy(workers, peak_per_s, capacity.stages[name].per_s, assumed) > assumed.use:
        return False
    if p95_ms(name, workers, peak_per_s, capacity, assumed) <= WANTED_P95_MS[name]:
        return True
    # More workers cannot make a commit faster: where an idle one is too slow already, they are no remedy.
    return p95_ms(name, 1, 0.0, capacity, assumed) > WANTED_P95_MS[name]


def _a_day(phase: Phase, bytes_an_event: float | None) -> float | None:
    return None if bytes_an_event is None else phase.events_a_day * bytes_an_event
