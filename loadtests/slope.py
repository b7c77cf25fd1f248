"""How fast something grows, and how sure that is: a robust slope with its interval.

Theil–Sen: the median of the slopes through all pairs of points; its interval by Kendall's rank statistic.
P. K. Sen, "Estimates of the Regression Coefficient Based on Kendall's Tau", Journal of the American
Statistical Association 63 (1968) 1379–1389. A few outliers (a collection of garbage, a burst) do not move it.

Sen's interval takes the points for independent of each other, which readings of memory a second apart are
not: so the series is first cut into spans of equal length, and each span's median is one point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import NormalDist, median
from typing import NamedTuple

SPANS = 40
"""Points that the interval is computed from: 780 slopes, and each point is minutes of a long test."""
LEAST_POINTS = 10
"""With fewer an interval at 99 % is as wide as the data."""


class Slope(NamedTuple):
    """Units of y per unit of x: the estimate and the ends of its interval."""

    value: float
    low: float
    high: float
    points: int


def theil_sen(x: Sequence[float], y: Sequence[float], confidence: float = 0.99) -> Slope | None:
    """None when there are fewer than LEAST_POINTS different x."""
    points = medians(x, y, SPANS)
    if len(points) < LEAST_POINTS:
        return None
    slopes = sorted((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2))
    n = len(points)
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * deviation
    first = max(0, math.floor((len(slopes) - reach) / 2))
    last = min(len(slopes) - 1, math.ceil((len(slopes) + reach) / 2))
    return Slope(median(slopes), slopes[first], slopes[last], n)


def medians(x: Sequence[float], y: Sequence[float], spans: int) -> list[tuple[float, float]]:
    """The medians of x and y in each of `spans` equal spans of x that holds a point."""
    if not x:
        return []
    start, width = min(x), (max(x) - min(x)) / spans
    if width <= 0:
        return [(x[0], median(y))]
    held: dict[int, list[tuple[float, float]]] = {}
    for point in zip(x, y, strict=True):
        held.setdefault(min(spans - 1, int((point[0] - start) / width)), []).append(point)
    return [
        (median(point[0] for point in span), median(point[1] for point in span))
        for _, span in sorted(held.items())
    ]
