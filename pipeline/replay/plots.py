"""What of a report is drawn: equity, latencies, throughput and lag."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import pairwise

from pipeline.plotting import svg
from pipeline.plotting.tables import milliseconds, rate
from pipeline.replay.report import Equity, GoldenStep, Moment, Report

STAGE_ORDER = ("gateway", "agent", "exec", "audit")


def plots(report: Report) -> list[tuple[str, str]]:
    """(title, SVG) of everything that there is something to draw of."""
    found = [
        (f"Net profit and loss, strategy {strategy}", equity(strategy, report.equity))
        for strategy in sorted({line.strategy for line in report.equity})
    ]
    found.append(
        ("Latency of each step: p50, p95, p99, p99.9; ◇ the reference", latencies(report.golden_path))
    )
    found.append(("Throughput over time, events/s", throughput(report.moments)))
    found.append(("Lag of each stage over time, ms", lag(report.moments)))
    return [(title, drawing) for title, drawing in found if drawing]


def equity(strategy: str, lines: Sequence[Equity]) -> str:
    series = [
        svg.Line(
            line.symbol,
            [date.fromisoformat(day).toordinal() for day in line.dates],
            [float(net) for net in line.net],
        )
        for line in lines
        if line.strategy == strategy
    ]
    return svg.lines(
        series, x_text=_day, y_text=lambda value: f"{value:,.0f}", title=f"Net profit and loss of {strategy}"
    )


def latencies(steps: Sequence[GoldenStep]) -> str:
    rows = [svg.Range(step.event, _marks(step), step.reference_ms) for step in steps if step.count]
    return svg.ranges(rows, x_text=lambda value: f"{milliseconds(value)} ms", title="Latency of each step")


def throughput(moments: Sequence[Moment]) -> str:
    series = []
    for name in ("accepted", "audited"):
        x, y = [], []
        for before, after in pairwise(moments):
            span_s = after.elapsed_s - before.elapsed_s
            if span_s > 0:
                x.append(after.elapsed_s)
                y.append(max(0, getattr(after, name) - getattr(before, name)) / span_s)
        series.append(svg.Line(name, x, y))
    return svg.lines(series, x_text=_seconds, y_text=rate, title="Throughput over time")


def lag(moments: Sequence[Moment]) -> str:
    series = []
    for stage in STAGE_ORDER:
        known = [(moment.elapsed_s, moment.lag_ms[stage]) for moment in moments if stage in moment.lag_ms]
        series.append(svg.Line(stage, [x for x, _ in known], [y for _, y in known]))
    return svg.lines(series, x_text=_seconds, y_text=lambda value: f"{value:g}", title="Lag over time")


def _marks(step: GoldenStep) -> list[tuple[str, float]]:
    named = (("p50", step.p50_ms), ("p95", step.p95_ms), ("p99", step.p99_ms), ("p99.9", step.p99_9_ms))
    return [(name, value) for name, value in named if value is not None]


def _day(ordinal: float) -> str:
    return date.fromordinal(round(ordinal)).isoformat()


def _seconds(value: float) -> str:
    return f"{value:.1f} s"
