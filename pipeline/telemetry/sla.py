"""Verdicts on percentiles, three-valued.

The rule. A threshold says that the p-th percentile of an event stays below a limit; so of N calls at most
A(N) = N − ⌈p·N⌉ may take the limit or longer. Within a window n calls were recorded and up to m were lost.

- `violated`: more than A(n + m) recorded calls took the limit or longer: also true if every lost call was
  fast.
- `met`: the calls that may have taken that long, plus m, are at most A(n + m): also true if every lost call
  was slow.
- `unknown`: anything else, and whenever n < 1 / (1 − p): 20 calls for p95, 100 for p99, 1,000 for p99.9.
  Below that the percentile is the largest value seen and says nothing about the percentile of many.

Calls in the bucket that the limit cuts through count as slow for `met` and as fast for `violated`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from pipeline.clock import NS_PER_MS
from pipeline.telemetry.events import EventID
from pipeline.telemetry.sketch import EDGES, Ints, bucket_of, quantiles


class Verdict(StrEnum):
    """What can be said of a threshold."""

    MET = "met"
    VIOLATED = "violated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SLAThreshold:
    """`percentile` (such as 95 or 99.9) of an event must stay below `limit_ns`.

    Raises ValueError when the percentile is none of 0.01, 0.02, … 99.99, or the limit not positive.
    """

    event_id: int
    percentile: float
    limit_ns: int

    def __post_init__(self) -> None:
        if not 0 < self.percentile < 100:
            raise ValueError(f"percentile {self.percentile}: must lie between 0 and 100")
        if not math.isclose(self.percentile * 100, self.hundredths, abs_tol=1e-6):
            raise ValueError(f"percentile {self.percentile}: two decimals at most, such as 99.99")
        if self.limit_ns <= 0:
            raise ValueError(f"limit {self.limit_ns} ns: must be positive")

    @property
    def hundredths(self) -> int:
        """The percentile in hundredths of a percent."""
        return round(self.percentile * 100)


@dataclass(frozen=True, slots=True)
class SLAResult:
    """A threshold judged over one window. `value_ns` is the percentile of what was recorded."""

    threshold: SLAThreshold
    window_seconds: float
    verdict: Verdict
    count: int
    lost: int
    value_ns: int | None


def thresholds_ms(event_id: int, **limits_ms: float) -> tuple[SLAThreshold, ...]:
    """`thresholds_ms(event, p95=50, p99_9=100)`: limits in milliseconds by percentile."""
    return tuple(
        SLAThreshold(event_id, float(name[1:].replace("_", ".")), round(limit * NS_PER_MS))
        for name, limit in limits_ms.items()
    )


DEFAULT_SLA = (
    *thresholds_ms(EventID.CANDLE_PROCESSING, p95=50, p99=100),
    *thresholds_ms(EventID.SIGNAL_GENERATION, p95=10, p99=20),
    *thresholds_ms(EventID.ORDER_PLACEMENT, p95=20, p99=50),
    *thresholds_ms(EventID.EVENT_BUS_PUBLISH, p95=5, p99=10),
)
"""What users of the package alone get."""
PIPELINE_SLA = (
    *thresholds_ms(EventID.GATEWAY_RECEIVE, p50=10, p95=50, p99=100),
    *thresholds_ms(EventID.AGENT_DECISION, p50=10, p95=30),
    *thresholds_ms(EventID.FILL_GENERATION, p50=5, p95=15),
    *thresholds_ms(EventID.AUDIT_WRITE, p50=10, p95=20),
)
"""Latencies wanted of the services."""


COLLECTOR_SLA = DEFAULT_SLA + PIPELINE_SLA
"""What a collector judges unless it is told otherwise."""


def told_thresholds(
    told: Mapping[str, Mapping[str, float]], id_of: Callable[[str], int]
) -> tuple[SLAThreshold, ...]:
    """COLLECTOR_SLA with the events of `told` (by name; limits in ms by percentile, as `thresholds_ms` takes
    them) as it says. `id_of` gives the id of an event that is none of EventID's."""
    ids = {name: int(EventID[name]) if name in EventID.__members__ else id_of(name) for name in told}
    others = (one for one in COLLECTOR_SLA if one.event_id not in ids.values())
    own = (one for name, wanted in told.items() for one in thresholds_ms(ids[name], **wanted))
    return (*others, *own)


def judge(counts: Ints, threshold: SLAThreshold, window_seconds: float, lost: int = 0) -> SLAResult:
    """Apply the rule to a row of buckets, and say the percentile too."""
    found = quantiles(counts, (threshold.hundredths,))
    return SLAResult(
        threshold,
        window_seconds,
        verdict_of(counts, threshold, lost),
        int(counts.sum()),
        lost,
        None if found is None else int(found[0]),
    )


def violated(results: Iterable[SLAResult]) -> list[SLAResult]:
    return [result for result in results if result.verdict is Verdict.VIOLATED]


def least_count(hundredths: int) -> int:
    """Calls needed before a percentile means something: ⌈1 / (1 − p)⌉."""
    return -(-10_000 // (10_000 - hundredths))


def verdict_of(counts: Ints, threshold: SLAThreshold, lost: int = 0) -> Verdict:
    """The rule alone."""
    return decide(
        int(counts.sum()),
        int(counts[surely_slow_from(threshold.limit_ns) :].sum()),
        int(counts[bucket_of_limit(threshold.limit_ns) :].sum()),
        threshold.hundredths,
        lost,
    )


def decide(count: int, surely_slow: int, perhaps_slow: int, hundredths: int, lost: int) -> Verdict:
    """The rule of numbers: calls, those that surely and those that perhaps took the limit or longer."""
    if count < least_count(hundredths):
        return Verdict.UNKNOWN
    allowed = allowed_slow(count + lost, hundredths)
    if surely_slow > allowed:
        return Verdict.VIOLATED
    if perhaps_slow + lost <= allowed:
        return Verdict.MET
    return Verdict.UNKNOWN


def allowed_slow(count: int, hundredths: int) -> int:
    """How many of so many calls may take the limit or longer: A(N)."""
    return count * (10_000 - hundredths) // 10_000


def surely_slow_from(limit_ns: int) -> int:
    """The first bucket in which every call took the limit or longer."""
    cut = bucket_of_limit(limit_ns)
    return cut if EDGES[cut] >= limit_ns else cut + 1


@functools.cache
def bucket_of_limit(limit_ns: int) -> int:
    """The bucket that a limit lies in."""
    return int(bucket_of(np.array([limit_ns]))[0])
