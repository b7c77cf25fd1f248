"""The statistical rule: is B slower than A by more than a margin, beyond the noise of both?

Each baseline is a sample of rounds; a round's cost is its p95 in units of the reference loop timed in that
round. On the logarithm, B/A is a shift, and its lower confidence bound is the rank-based one of Hodges and
Lehmann (the Mann-Whitney test turned round; Hollander, Wolfe and Chicken, Nonparametric Statistical Methods,
3rd ed., §4.3): of all m·n differences the c-th smallest, with the largest c for which U ≤ c − 1 has a chance
of at most α when nothing has changed. B is worse if that bound exceeds the margin. No distribution is
assumed, so one wild round of twenty moves nothing; that rounds of a run resemble each other more than rounds
of two runs is what the margin is for.

Measured on unchanged code (`ringline baseline diff --self-test --runs 120`, 2 virtual CPUs under a load of 3
to 10): 3 of 14,280 pairs called worse (0.02 %), none of 60 disjoint ones (below 4.9 % with 95 % confidence);
the same pairs made slower are caught in 68 % (×1.3), 97 % (×1.5) and 100 % (×2). The marker's own figures, by
`tests/benchmarks/marker_false_alarms.py 40`: none of 1,560 pairs; 73 %, 99.8 % and 100 %.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

from msgspec import Struct

from pipeline.errors import UsageError
from pipeline.performance.figures import median

MARGIN = 0.20
"""A p95 that is worse by more than this fails."""
ALPHA = 0.001
"""Chance of the bound lying above the true ratio, if rounds were independent."""
MIN_ROUNDS = 7
"""The least that can prove anything at ALPHA: 1 / C(14, 7) = 0.0003; with 6 it is 0.0011."""


class Comparison(Struct, frozen=True, kw_only=True):
    """B beside A. Ratios are B / A: above 1 is slower.

    `ratio` is the Hodges-Lehmann estimate, `lower` and `upper` its one-sided bounds at `alpha`. `worse`:
    `lower` exceeds 1 + `margin`; `better`: `upper` lies below 1 / (1 + `margin`).
    """

    ratio: float
    lower: float
    upper: float
    margin: float
    alpha: float
    worse: bool
    better: bool


def compare(a: Sequence[float], b: Sequence[float], margin: float = MARGIN) -> Comparison:
    """Judges two samples of costs. Raises UsageError for too few, and for one that is no cost."""
    for name, costs in (("A", a), ("B", b)):
        if len(costs) < MIN_ROUNDS:
            raise UsageError(
                f"{name} has {len(costs)} rounds; {MIN_ROUNDS} are the least that prove anything"
            )
        for cost in costs:
            if not math.isfinite(cost) or cost <= 0:
                raise UsageError(f"{name} has a round that costs {cost!r}; a cost is a finite number above 0")
    differences = sorted(math.log(y) - math.log(x) for x in a for y in b)
    place = bound_place(len(a), len(b), ALPHA)
    lower, upper = differences[place - 1], differences[-place]
    return Comparison(
        ratio=math.exp(median(differences)),
        lower=math.exp(lower),
        upper=math.exp(upper),
        margin=margin,
        alpha=ALPHA,
        worse=lower > math.log1p(margin),
        better=upper < -math.log1p(margin),
    )


def bound_place(m: int, n: int, alpha: float) -> int:
    """Which of the m·n differences in ascending order is the lower bound: the largest c with
    P(U ≤ c − 1) ≤ alpha. 0: no bound can be given."""
    ways = _ways(min(m, n), max(m, n))
    most = alpha * math.comb(m + n, m)
    place = total = 0
    for count in ways:
        total += count
        if total > most:
            break
        place += 1
    return place


@functools.cache
def _ways(m: int, n: int) -> tuple[int, ...]:
    """How many of the C(m + n, m) orders have each Mann-Whitney U: coefficients of the Gaussian binomial."""
    coefficients = [1]
    for i in range(1, m + 1):
        coefficients = _divided(_multiplied(coefficients, n + i), i)
    return tuple(coefficients)


def _multiplied(p: list[int], power: int) -> list[int]:
    """p · (1 − q^power)."""
    product = p + [0] * power
    for index, value in enumerate(p):
        product[index + power] -= value
    return product


def _divided(p: list[int], power: int) -> list[int]:
    """p / (1 − q^power), which divides it."""
    quotient = list(p)
    for index in range(power, len(p)):
        quotient[index] += quotient[index - power]
    return quotient[: len(p) - power]
