"""Two baselines side by side: is the second slower, once the machine's own speed is taken out?"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from pipeline.errors import UsageError
from pipeline.performance.baseline_file import Baseline, Latency
from pipeline.performance.figures import median
from pipeline.performance.rule import MARGIN, MIN_ROUNDS, Comparison, compare

SCHEMA_VERSION = 1


class Diff(Struct, frozen=True, kw_only=True):
    """B beside A; ratios are B / A, above 1 is slower.

    `machine_factor` is that of the reference loop's times: how much slower the machine was during B.
    `comparison.ratio` is what is left of the p95s' ratio without it.
    """

    kind: Literal["baseline-diff"] = "baseline-diff"
    schema: int = SCHEMA_VERSION
    ok: bool
    verdict: Literal["worse", "same", "better"]
    measures: str
    a_p95_ms: float
    b_p95_ms: float
    machine_factor: float
    comparison: Comparison


def diff(a: Baseline, b: Baseline, margin: float = MARGIN) -> Diff:
    """Raises UsageError, saying why, when the two do not compare."""
    left, right = a.performance.latency, b.performance.latency
    for what, one, other in (
        ("managers", a.execution.manager, b.execution.manager),
        ("measurements", left.measures, right.measures),
        ("reference loops", left.reference, right.reference),
    ):
        if one != other:
            raise UsageError(f"A and B have different {what} ({one!r}, {other!r}) and do not compare")
    return diff_latencies(left, right, margin)


def diff_latencies(a: Latency, b: Latency, margin: float = MARGIN) -> Diff:
    """The same for what one test or one part measured. Raises UsageError for too few rounds."""
    for name, latency in (("A", a), ("B", b)):
        if len(latency.rounds) < MIN_ROUNDS:
            raise UsageError(
                f"{name} has {len(latency.rounds)} rounds and a comparison needs {MIN_ROUNDS}: "
                "take it with --rounds 25, of a running pipeline with --trades 400"
            )
    comparison = compare(a.costs, b.costs, margin)
    return Diff(
        ok=not comparison.worse,
        verdict="worse" if comparison.worse else "better" if comparison.better else "same",
        measures=b.measures,
        a_p95_ms=_p95_ms(a),
        b_p95_ms=_p95_ms(b),
        machine_factor=_reference_ms(b) / _reference_ms(a),
        comparison=comparison,
    )


def sentence(found: Diff) -> str:
    """The verdict for people, in two lines."""
    comparison = found.comparison
    percent, sure = 100 * comparison.margin, 100 * (1 - comparison.alpha)
    verdict = {
        "worse": f"WORSE by more than {percent:g} % beyond noise",
        "better": f"better by more than {percent:g} % beyond noise",
        "same": f"not worse by more than {percent:g} % beyond noise",
    }[found.verdict]
    return (
        f"p95 {found.a_p95_ms:.4g} ms → {found.b_p95_ms:.4g} ms ({found.measures}); "
        f"the machine took {found.machine_factor:.3f} times as long for the reference loop\n"
        f"Without that: ratio {comparison.ratio:.3f}, {sure:g} % bounds {comparison.lower:.3f} to "
        f"{comparison.upper:.3f}: {verdict}"
    )


def _p95_ms(latency: Latency) -> float:
    return median([item.p95_ms for item in latency.rounds])


def _reference_ms(latency: Latency) -> float:
    return median([item.reference_ms for item in latency.rounds])
