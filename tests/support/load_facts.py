"""Facts of a load test in which everything is well, for tests that plant one fault each."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from loadtests.facts import Audited, Ending, Facts, ProcessFacts, StepFacts
from loadtests.shapes import SHAPES
from loadtests.slope import Slope

BYTES_A_S = 1_000_000 / 3600
"""One MB an hour."""

STEP = StepFacts(
    index=0, users=100, duration_s=1800, planned=900_000, met=900_000, shed=0, errors=0,
    p50_ms=5.0, p95_ms=20.0, p99_ms=40.0,
)  # fmt: skip
PROCESS = ProcessFacts(
    name="agent-0", cpu_mean_percent=20.0, cpu_peak_percent=30.0, memory_first_bytes=30_000_000,
    memory_peak_bytes=31_000_000, slope=Slope(BYTES_A_S, 0.5 * BYTES_A_S, 2 * BYTES_A_S, 40), judged_s=6000,
)  # fmt: skip
AUDITED = Audited(
    rows=800_000, sent=800_100, accepted=800_000, repeated=20_000, lost=0, twice=0, unsent=0, verifies=True,
    journalled=800_000, all_rows=800_000,
)  # fmt: skip


def good_facts(shape: str = "load", **changes: Any) -> Facts:
    """Every gate of `shape` is met by these, but for what `changes`."""
    good = Facts(
        shape=SHAPES[shape],
        ending=Ending(ran_s=1800),
        planned=900_000,
        met=900_000,
        shed=0,
        errors=0,
        p95_ms=20.0,
        steps=(STEP,),
        processes=(PROCESS,),
        drained_s=0.5,
        drain_watched_s=0.5,
        recovered_s=1.0,
        audited=AUDITED,
        audit_fault="",
        expects_audit=True,
        reads=10_000,
    )
    return replace(good, **changes)


def step(index: int, **changes: Any) -> StepFacts:
    return replace(STEP, index=index, **changes)
