"""The report as Markdown (GitHub's tables)."""

from __future__ import annotations

from pipeline.plotting.tables import Table
from pipeline.replay.report import Report
from pipeline.replay.tables import headline, tables


def render_markdown(report: Report) -> str:
    parts = [
        f"# Ringline run {report.run_id}",
        headline(report),
        f"{report.source}; started {report.started}.",
    ]
    for table in tables(report):
        parts += [f"## {table.title}", _table(table)]
        if table.note:
            parts.append(table.note)
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    parts.append(f"{machine.cpus} × {machine.cpu}, {machine.system}; {versions}.")
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    rules = ["---" if index < table.words else "---:" for index in range(len(table.columns))]
    rows = [_row(table.columns), "|" + "|".join(rules) + "|"]
    for index, row in enumerate(table.rows):
        last = table.total and index == len(table.rows) - 1
        rows.append(_row(tuple(f"**{cell}**" if last and cell else cell for cell in row)))
    return "\n".join(rows)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
