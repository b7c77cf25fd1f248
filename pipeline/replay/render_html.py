"""The report as one HTML file."""

from __future__ import annotations

from pipeline.plotting.page import page
from pipeline.replay.plots import plots
from pipeline.replay.report import Report
from pipeline.replay.tables import headline, tables


def render_html(report: Report) -> str:
    return page(
        f"Ringline run {report.run_id}",
        headline(report),
        f"{report.source}; started {report.started}.",
        tables(report),
        plots(report),
        _footer(report),
        good=report.ok,
    )


def _footer(report: Report) -> str:
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return f"{machine.cpus} × {machine.cpu}, {machine.system}; {versions}."
