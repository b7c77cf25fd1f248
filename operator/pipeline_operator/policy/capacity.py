"""What one replica can do, learned from seconds in which it was saturated: input waiting, output not
blocked."""

from __future__ import annotations

import math

from msgspec import structs

from pipeline_operator import limits
from pipeline_operator.memory import Capacity
from pipeline_operator.spec import Tuning


def sample(capacity: Capacity, rate_milli: int, now_us: int) -> Capacity:
    """With one more saturated second of `rate_milli` a replica. The past fades: its weight is bounded."""
    weight = min(capacity.samples + 1, limits.MAX_SAMPLES)
    delta = rate_milli - capacity.mean_milli
    mean = capacity.mean_milli + delta // weight
    variance = 0 if weight == 1 else (weight - 1) * (capacity.variance + delta * delta // weight) // weight
    return structs.replace(
        capacity, samples=weight, mean_milli=max(1, mean), variance=variance, sampled_us=now_us
    )


def shown(capacity: Capacity, rate_milli: int) -> Capacity:
    """With what a replica did without being saturated: its capacity is not below it."""
    if rate_milli <= capacity.shown_milli and (not capacity.samples or rate_milli <= capacity.mean_milli):
        return capacity
    mean = max(capacity.mean_milli, rate_milli) if capacity.samples else 0
    return structs.replace(capacity, shown_milli=max(capacity.shown_milli, rate_milli), mean_milli=mean)


def believed_milli(capacity: Capacity, tuning: Tuning) -> int | None:
    """The mean; None until there are enough samples."""
    return capacity.mean_milli if capacity.samples >= tuning.learn_min_samples else None


def low_milli(capacity: Capacity, tuning: Tuning) -> int | None:
    """The lower bound of the mean, two standard errors below it; None until there are enough samples."""
    if capacity.samples < tuning.learn_min_samples:
        return None
    error = 2 * math.isqrt(max(0, capacity.variance) // capacity.samples)
    return max(1, capacity.mean_milli - error)
