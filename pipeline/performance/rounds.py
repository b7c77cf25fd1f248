"""Rounds: the same work several times over, each beside the reference loop's time in that very round."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from pipeline.performance.figures import median, percentile
from pipeline.performance.manager import Call
from pipeline.performance.reference import reference_ms
from pipeline.performance.stopwatch import timed_ms

ROUNDS = 25
"""Enough for the rule to see 20 % beyond the noise of one machine; see `false_alarms`."""
CALLS = 200
"""Its p95 has ten calls above it."""
PASSES = 3
"""Each call of a round counts as the least of so many: what is slow only once is not the code. On a shared
machine it takes the spread of a round's cost from 15 % to 6 %."""
SLICES = 2
"""The reference is timed before each slice of a pass and at its end, so a slow moment meets both."""


Positive = Annotated[float, Meta(gt=0)]


class Round(Struct, frozen=True, kw_only=True):
    """One round; milliseconds as `stopwatch` has them."""

    calls: int
    p50_ms: Positive
    p95_ms: Positive
    max_ms: Positive
    reference_ms: Positive

    @property
    def cost(self) -> float:
        """The p95 in units of the reference loop: free of the machine's speed at that moment."""
        return self.p95_ms / self.reference_ms


def take_rounds(
    prepare: Callable[[int], Sequence[Call]], rounds: int, calls: int, passes: int = PASSES
) -> tuple[Round, ...]:
    """Times `rounds` rounds of the calls that `prepare(calls)` gives, after one more to warm up.

    Each time it gives the same work: the n-th calls of all passes are one. No rounds when it gives none.
    What a call raises passes through.
    """
    found: list[Round] = []
    for _ in range(rounds + 1):
        durations_ms: list[list[float]] = []
        references_ms: list[float] = []
        for _ in range(passes):
            prepared = prepare(calls)
            if not prepared:
                return ()
            durations_ms.append(_pass(prepared, references_ms))
        found.append(round_of([min(same) for same in zip(*durations_ms, strict=True)], references_ms))
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


def _pass(calls: Sequence[Call], references_ms: list[float]) -> list[float]:
    durations_ms: list[float] = []
    gc.collect()
    for number in range(SLICES):
        references_ms.append(reference_ms())
        for call in calls[number * len(calls) // SLICES : (number + 1) * len(calls) // SLICES]:
            durations_ms.append(timed_ms(call))
    references_ms.append(reference_ms())
    return durations_ms
