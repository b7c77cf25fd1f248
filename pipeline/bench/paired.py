"""The median of paired differences, with an interval that holds whatever their distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

Z = 1.96
"""Of 95 %."""


class Paired(NamedTuple):
    """Percent of the first's median that the second costs more; `low` and `high` bound it with 95 %."""

    percent: float
    low: float
    high: float


def paired_cost(first: Sequence[float], second: Sequence[float]) -> Paired:
    """Pair by pair. The interval is between order statistics of the differences (the sign test's): ranks
    n/2 ± Z·√n/2. Raises ValueError for fewer than six pairs, which bound nothing."""
    count = len(first)
    if count != len(second) or count < 6:
        raise ValueError(f"{count} and {len(second)} figures: expected six pairs or more")
    whole = median(first)
    differences = sorted(100 * (b - a) / whole for a, b in zip(first, second, strict=True))
    reach = Z * math.sqrt(count) / 2
    low = max(0, math.floor(count / 2 - reach) - 1)
    high = min(count - 1, math.ceil(count / 2 + reach))
    return Paired(median(differences), differences[low], differences[high])
