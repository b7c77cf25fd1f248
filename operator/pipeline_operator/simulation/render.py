"""A comparison for people: tables for the terminal, and one HTML page with plots."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.plotting.page import page
from pipeline.plotting.svg import Line, lines
from pipeline.plotting.tables import Table
from pipeline_operator.simulation.compare import OURS, Comparison, Equal, Report
from pipeline_operator.simulation.run import Outcome

_COLUMNS = (
    "autoscaler",
    "SLA minutes",
    "replica minutes",
    "changes",
    "reaction s",
    "unmet",
    "worst backlog",
    "worst lag s",
)


def tables(report: Report) -> Iterator[Table]:
    """Two for each trace: the outcomes, and what the rivals cost at our SLA minutes."""
    for comparison in report.comparisons:
        yield Table(
            f"{comparison.trace}: {comparison.meaning}",
            _COLUMNS,
            tuple(map(_row, comparison.outcomes)),
        )
        if comparison.equal:
            yield Table(
                f"{comparison.trace}: rivals' cheapest setting with no more SLA minutes",
                ("rival", "target", "SLA minutes", "replica minutes", "ours saves"),
                tuple(map(_equal_row, comparison.equal)),
            )


def headline(report: Report) -> str:
    """The verdict in a sentence."""
    if report.met:
        return "Not dominated on any trace, and no rival with as few SLA minutes is cheaper."
    return " ".join(_beaten(comparison) for comparison in report.comparisons if not comparison.met)


def _beaten(comparison: Comparison) -> str:
    if comparison.dominated_by:
        return f"On {comparison.trace} ours is dominated by {', '.join(comparison.dominated_by)}."
    cheaper = [entry.rival for entry in comparison.equal if (entry.saved_per_cent or 0) < 0]
    return f"On {comparison.trace} {', '.join(cheaper)} is cheaper with as few SLA minutes."


def html(report: Report) -> str:
    """A page that needs nothing else."""
    return page(
        "Autoscalers compared",
        headline(report),
        f"Seed {report.seed}; an SLA of {report.lag_ms} ms of lag at each stage.",
        tables(report),
        [plot for comparison in report.comparisons for plot in _plots(comparison)],
        "Drawn by ringline-operator simulate. A model, not a measurement: see --help for what it leaves out.",
        good=report.met,
    )


def _plots(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Load, replicas and lag over time."""
    ours = next(outcome for outcome in comparison.outcomes if outcome.autoscaler == OURS)
    load = Line("load", [point[0] for point in ours.series], [point[1] for point in ours.series])
    replicas = [Line(its.autoscaler, [p[0] for p in its.series], [p[2] for p in its.series])
                for its in comparison.outcomes]  # fmt: skip
    lags = [Line(its.autoscaler, [p[0] for p in its.series], [p[3] for p in its.series])
            for its in comparison.outcomes]  # fmt: skip
    for what, series in (("load, messages a second", [load]), ("replicas", replicas), ("worst lag, s", lags)):
        title = f"{comparison.trace}: {what}"
        yield title, lines(series, x_text=_minutes, y_text=lambda value: f"{value:,.4g}", title=title)


def _minutes(second: float) -> str:
    return f"{second / 60:g} min"


def _row(its: Outcome) -> tuple[str, ...]:
    reaction = "–" if its.reaction_s is None else f"{its.reaction_s:.1f}"
    return (
        its.autoscaler,
        f"{its.sla_minutes:.2f}",
        f"{its.replica_minutes:,.0f}",
        f"{its.changes}",
        reaction,
        f"{its.unmet}",
        f"{its.worst_backlog:,}",
        f"{its.worst_lag_s:.1f}",
    )


def _equal_row(entry: Equal) -> tuple[str, ...]:
    if entry.target is None:
        return (entry.rival, "none gets there", "–", "–", "–")
    return (
        entry.rival,
        f"{entry.target:.0%}",
        f"{entry.sla_minutes:.2f}",
        f"{entry.replica_minutes:,.0f}",
        f"{entry.saved_per_cent:.1f} %",
    )
