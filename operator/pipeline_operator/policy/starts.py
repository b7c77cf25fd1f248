"""Starting pods: capacity that is on its way, until it has taken longer than starts are known to take."""

from __future__ import annotations

import math
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
    """The p99 of the start times seen; what the spec says until there are some.

    The largest of n is exceeded once in n + 1 times, so a p99 is not read off some dozens: it is the mean and
    three standard deviations, and more while there are few, but never below the longest seen.
    """
    count = len(starts_ms)
    if count < limits.MIN_STARTS:
        return tuning.start_ms
    mean = sum(starts_ms) // count
    deviation = math.isqrt(sum((start - mean) ** 2 for start in starts_ms) // (count - 1))
    return max(max(starts_ms), mean + deviation * 3 + deviation * 9 // count)


def typical_ms(starts_ms: tuple[int, ...], tuning: Tuning) -> int:
    """The mean start time; what the spec says until there are some."""
    if len(starts_ms) < limits.MIN_STARTS:
        return tuning.start_ms
    return sum(starts_ms) // len(starts_ms)


def counted(seen: StageObservation, past: StageMemory, tuning: Tuning, now_us: int) -> Counted:
    """Replicas without a pod yet are as old as the raise that asked for them."""
    limit_ms = start_limit_ms((*past.starts_ms, *seen.started_ms), tuning)
    missing = max(0, seen.replicas - seen.ready - len(seen.starting_ms))
    asked_ms = (now_us - past.raised_us) // US_PER_MS if past.raised_us else 0
    ages_ms = (*seen.starting_ms, *([asked_ms] * missing))
    stuck = sum(age_ms > limit_ms for age_ms in ages_ms)
    starting = len(ages_ms) - stuck
    return Counted(seen.ready + starting, starting, stuck)
