"""How often the rule cries wolf: baselines of unchanged code, compared with each other.

Each baseline is taken by a fresh process, so what differs between runs (hash seed, memory layout, the
machine's mood) is in the figure. Every ordered pair is judged; pairs share baselines, so the honest bound
on the rate comes from the disjoint ones (1 with 2, 3 with 4, …) by Clopper and Pearson (1934). The same
pairs with every cost of B multiplied tell how often a real regression of that size is caught.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from msgspec import Struct

from pipeline.errors import UsageError
from pipeline.performance.rule import MARGIN, compare

SLOWDOWNS = (1.3, 1.5, 2.0)
CONFIDENCE = 0.95


class FalseAlarms(Struct, frozen=True, kw_only=True):
    """`caught` is the share of pairs that the rule calls worse when B is made so many times slower;
    `widest_ratio` the farthest that two baselines of the same code were apart."""

    kind: str = "baseline-self-test"
    schema: int = 1
    baselines: int
    pairs: int
    alarms: int
    rate: float
    disjoint_pairs: int
    disjoint_alarms: int
    rate_upper: float
    """With 95 % confidence the rate lies below this; from the disjoint pairs."""
    caught: dict[str, float]
    widest_ratio: float
    margin: float


def false_alarms(baselines: Sequence[Sequence[float]], margin: float = MARGIN) -> FalseAlarms:
    """Judges the costs of each baseline's rounds. Raises UsageError for fewer than two baselines."""
    if len(baselines) < 2:
        raise UsageError(f"{len(baselines)} baselines make no pair; 2 are the least")
    pairs = list(itertools.permutations(baselines, 2))
    judged = [compare(a, b, margin) for a, b in pairs]
    disjoint = [compare(a, b, margin) for a, b in zip(baselines[::2], baselines[1::2], strict=False)]
    alarms, disjoint_alarms = (sum(found.worse for found in some) for some in (judged, disjoint))
    return FalseAlarms(
        baselines=len(baselines),
        pairs=len(pairs),
        alarms=alarms,
        rate=alarms / len(pairs),
        disjoint_pairs=len(disjoint),
        disjoint_alarms=disjoint_alarms,
        rate_upper=upper_bound(disjoint_alarms, len(disjoint)),
        # Multiplying B's costs moves its lower bound by exactly the same factor.
        caught={
            f"{slowdown:g}": sum(found.lower * slowdown > 1 + margin for found in judged) / len(pairs)
            for slowdown in SLOWDOWNS
        },
        widest_ratio=max(found.ratio for found in judged),
        margin=margin,
    )


def upper_bound(events: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided Clopper-Pearson bound: the rate at which so few events would have a chance of
    1 − confidence."""
    if events >= trials:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        rate = (low + high) / 2
        chance = math.fsum(
            math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(events + 1)
        )
        low, high = (rate, high) if chance > 1 - confidence else (low, rate)
    return high
