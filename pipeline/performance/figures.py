"""Exact percentiles of a few figures, and the one check that a figure is one."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of figures in ascending order (at least one): a figure that occurred."""
    if not ordered:
        raise ValueError("a percentile of no figures")
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[max(rank, 1) - 1]


def median(figures: Sequence[float]) -> float:
    """The middle of at least one figure, in any order; of an even number the mean of the middle two."""
    ordered = sorted(figures)
    if not ordered:
        raise ValueError("a median of no figures")
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def duration_ms(name: str, value: float) -> float:
    """`value`, if it is a duration: a finite number ≥ 0. Raises ValueError naming it otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} = {value!r}: must be a finite number of milliseconds, 0 or more")
    return float(value)


def limit_ms(name: str, value: float) -> float:
    """`value`, if it is a limit that can be kept: as a duration, and above 0."""
    if duration_ms(name, value) == 0:
        raise ValueError(f"{name} = {value!r}: must be above 0 ms")
    return float(value)
