"""Starting pods: capacity that is on its way, until it has taken longer than starts are known to take."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.clock import NS_PER_MS, NS_PER_US
from pipeline_operator import limits
from pipeline_operator.memory import StageMemory
from pipeline_operator.observation import StageObservation
from pipeline_operator.spec import Tuning

US_PER_MS = NS_PER_MS // NS_PER_US


class Counted(NamedTuple):
    """`replicas` to be counted on (ready ones and those starting in time), and how many are stuck."""

    replicas: int
    starting: int
    stuck: int


def start_limit_ms(starts_ms: tuple[int, ...], tuning: Tuning) -> int:
    """The p99 (nearest rank) of the start times seen; what the spec says until there are some."""
    if len(starts_ms) < limits.MIN_STARTS:
        return tuning.start_ms
    return sorted(starts_ms)[-(-len(starts_ms) * 99 // 100) - 1]


def counted(seen: StageObservation, past: StageMemory, tuning: Tuning, now_us: int) -> Counted:
    """Replicas without a pod yet are as old as the raise that asked for them."""
    limit_ms = start_limit_ms((*past.starts_ms, *seen.started_ms), tuning)
    missing = max(0, seen.replicas - seen.ready - len(seen.starting_ms))
    asked_ms = (now_us - past.raised_us) // US_PER_MS if past.raised_us else 0
    ages_ms = (*seen.starting_ms, *([asked_ms] * missing))
    stuck = sum(age_ms > limit_ms for age_ms in ages_ms)
    starting = len(ages_ms) - stuck
    return Counted(seen.ready + starting, starting, stuck)
