"""Rounds: the same work several times over, each beside the reference loop's time in that very round."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from pipeline.performance.figures import median, percentile
from pipeline.performance.manager import Call
from pipeline.performance.reference import reference_ms

ROUNDS = 20
"""Enough for the rule to see 20 % beyond the noise of one machine; see `false_alarms`."""
CALLS = 200
"""Its p95 has ten calls above it."""
SLICES = 4
"""The reference is timed before each slice of a round and at its end, so a slow moment meets both."""


class Round(Struct, frozen=True, kw_only=True):
    """One round; milliseconds."""

    calls: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    reference_ms: float

    @property
    def cost(self) -> float:
        """The p95 in units of the reference loop: free of the machine's speed at that moment."""
        return self.p95_ms / self.reference_ms


def take_rounds(prepare: Callable[[int], Sequence[Call]], rounds: int, calls: int) -> tuple[Round, ...]:
    """Times `rounds` rounds of the calls that `prepare(calls)` gives, after one more to warm up.

    No rounds when it gives none. What a call raises passes through.
    """
    found: list[Round] = []
    for _ in range(rounds + 1):
        prepared = prepare(calls)
        if not prepared:
            return ()
        gc.collect()
        found.append(_round(prepared))
    return tuple(found[1:])


def round_of(durations_ms: Sequence[float], references_ms: Sequence[float]) -> Round:
    """A round from its calls' durations and the reference times among them."""
    ordered = sorted(durations_ms)
    return Round(
        calls=len(ordered),
        p50_ms=percentile(ordered, 50),
        p95_ms=percentile(ordered, 95),
        max_ms=ordered[-1],
        reference_ms=median(references_ms),
    )


def _round(calls: Sequence[Call]) -> Round:
    now_ns = time.perf_counter_ns
    durations_ms: list[float] = []
    references_ms: list[float] = []
    for number in range(SLICES):
        references_ms.append(reference_ms())
        for call in calls[number * len(calls) // SLICES : (number + 1) * len(calls) // SLICES]:
            started_ns = now_ns()
            call()
            durations_ms.append((now_ns() - started_ns) / 1e6)
    references_ms.append(reference_ms())
    return round_of(durations_ms, references_ms)
