"""The autoscaler in a report: what it changed and how fast that helped, and what its workers cost."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from loadtests.facts import Change
from loadtests.report import Report, StagePoint
from pipeline.plotting.tables import Table

US_PER_S = 1_000_000


def scaling_table(report: Report) -> Table:
    """A row for each change. Empty where nothing was scaled."""
    began_s = datetime.strptime(report.started, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    rows = tuple(_row(change, began_s) for change in report.changes)
    columns = ("stage", "workers", "SLA missed at", "decided after", "ready after", "met after")
    return Table("Autoscaling", columns, rows, words=2, note=_note(report))


def _note(report: Report) -> str:
    return " ".join([*(change.sentence for change in report.changes), cost(report)])


def cost(report: Report) -> str:
    """Worker seconds of each stage that was scaled, beside as many workers as it had at most, throughout."""
    told = []
    for stage in sorted({change.stage for change in report.changes}):
        used_s, most, lasted_s = worker_seconds(report.stage_points, stage)
        if most:
            told.append(
                f"{stage} took {used_s:,.0f} worker seconds; a fixed {most} would be {most * lasted_s:,.0f}"
            )
    return "; ".join(told) + "." if told else ""


def worker_seconds(points: tuple[StagePoint, ...], stage: str) -> tuple[float, int, float]:
    """The integral of its workers over the looks at the collector, the most of them, and the time."""
    used_s, most = 0.0, 0
    for point, following in pairwise(points):
        workers = point.replicas.get(stage, 0)
        used_s += workers * (following.elapsed_s - point.elapsed_s)
        most = max(most, workers)
    return used_s, most, points[-1].elapsed_s - points[0].elapsed_s if points else 0.0


def _row(change: Change, began_s: float) -> tuple[str, ...]:
    first_us = change.breach_us if change.breach_us is not None else change.decided_us
    at = f"{first_us / US_PER_S - began_s:,.1f} s" if change.breach_us is not None else "–"
    return (
        change.stage,
        f"{change.before} → {change.after}",
        at,
        *(_after(first_us, at_us) for at_us in (change.decided_us, change.ready_us)),
        _after(first_us, change.met_us),
    )


def _after(first_us: int, at_us: int | None) -> str:
    return "–" if at_us is None else f"{(at_us - first_us) / US_PER_S:.1f} s"
