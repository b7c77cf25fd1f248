"""Checks a plan: the peak second after second through queues that are simulated event by event.

It shares nothing with the planner's formulas: Poisson arrivals, keys that stick to workers by chance as
hashing spreads them, exponential service, journals that let their events go commit by commit, and each
worker's queue followed exactly (Lindley's recursion: a departure is the later of arrival and the departure
before, plus service).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from pipeline.plan.capacity import Capacity
from pipeline.plan.phases import Assumptions
from pipeline.plan.planner import PhasePlan

Times = npt.NDArray[np.float64]

SECONDS = 30.0
MOST_EVENTS = 1_000_000
"""Of one simulation: half a second of arithmetic."""
WARM_UP = 0.1
"""Of the events, the first that meet empty queues, and are not counted."""


class Simulated(Struct, frozen=True, kw_only=True):
    """What the plan's peak was like. Times in ms; `stages` holds the p95 of each stage."""

    events: int
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    stages: dict[str, float]
    met: bool
    """Whether every stage kept its wanted p95."""


def simulate(plan: PhasePlan, capacity: Capacity, assumed: Assumptions, seed: int = 1) -> Simulated:
    """The same seed is the same run."""
    dice = np.random.default_rng(seed)
    count = int(min(MOST_EVENTS, max(1000.0, plan.peak_per_s * SECONDS)))
    arrived = np.cumsum(dice.exponential(1 / plan.peak_per_s, count))
    keys = dice.integers(0, assumed.keys, count)
    counted = slice(int(count * WARM_UP), None)
    now = arrived
    stages = {}
    met = True
    for stage in plan.stages:
        homes = dice.integers(0, stage.workers, assumed.keys)
        service = dice.exponential(1 / capacity.stages[stage.stage].per_s, count)
        left = _through(now, homes[keys], service, stage.workers)
        if stage.stage == "gateway":
            left = _committed(left, capacity.journal_commit_ms / 1000)
        elif stage.stage == "audit":
            left = _committed(left, capacity.audit_commit_ms / 1000)
        stages[stage.stage] = float(np.quantile((left - now)[counted], 0.95)) * 1000
        met = met and stages[stage.stage] <= stage.wanted_p95_ms
        now = left
    taken_ms = (now - arrived)[counted] * 1000
    return Simulated(
        events=count,
        seconds=float(arrived[-1]),
        p50_ms=float(np.quantile(taken_ms, 0.5)),
        p95_ms=float(np.quantile(taken_ms, 0.95)),
        p99_ms=float(np.quantile(taken_ms, 0.99)),
        stages=stages,
        met=met,
    )


def _through(arrived: Times, workers: npt.NDArray[np.int64], service: Times, count: int) -> Times:
    """When each event leaves its worker, which takes them in the order of their arrival."""
    left = np.empty_like(arrived)
    order = np.lexsort((arrived, workers))
    ends = np.searchsorted(workers[order], np.arange(count + 1))
    for first, last in pairwise(ends):
        own = order[first:last]
        if len(own):
            worked = np.cumsum(service[own])
            left[own] = worked + np.maximum.accumulate(arrived[own] - (worked - service[own]))
    return left


def _committed(ready: Times, commit_s: float) -> Times:
    """Commits follow one another: what is ready when one begins is there when it ends."""
    if commit_s <= 0:
        return ready
    begins: Times = np.ceil(ready / commit_s) * commit_s
    return begins + commit_s
