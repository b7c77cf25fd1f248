"""The knee: the last step, counted from the first, that did everything asked of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.facts import StepFacts
from loadtests.settings import Gates


def is_good(step: StepFacts, gates: Gates) -> bool:
    return not why_not(step, gates)


def why_not(step: StepFacts, gates: Gates) -> str:
    """What a step missed; empty when it is good."""
    if step.shed:
        return f"{step.shed:,} shed"
    if step.p95_ms is None:
        return "nothing accepted"
    if step.p95_ms >= gates.p95_ms:
        return f"p95 {step.p95_ms:,.1f} ms"
    if step.met < step.planned * gates.achieved_percent / 100:
        return f"{step.met_per_s:,.0f}/s of {step.planned_per_s:,.0f}/s planned"
    return ""


def knee(steps: Sequence[StepFacts], gates: Gates) -> int:
    """The index of the knee; -1 when the first step already failed."""
    last = -1
    for step in steps:
        if not is_good(step, gates):
            break
        last = step.index
    return last
