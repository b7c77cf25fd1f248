"""The report as one HTML file that needs nothing else: readable offline, in light and dark."""

from __future__ import annotations

from html import escape
from importlib import resources

from pipeline.replay.plots import plots
from pipeline.replay.report import Report
from pipeline.replay.tables import Table, headline, tables


def render_html(report: Report) -> str:
    title = escape(f"Ringline run {report.run_id}")
    style = resources.files("pipeline.replay").joinpath("data", "report.css").read_text(encoding="utf-8")
    verdict = "good" if report.ok else "bad"
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{style}</style></head><body><h1>{title}</h1>",
        f'<p class="verdict {verdict}">{escape(headline(report))}</p>',
        f'<p class="soft">{escape(report.source)}; started {escape(report.started)}.</p>',
    ]
    parts += [_table(table) for table in tables(report)]
    parts += [f"<h2>{escape(name)}</h2>{drawing}" for name, drawing in plots(report)]
    parts.append(f'<p class="soft">{_footer(report)}</p></body></html>\n')
    return "\n".join(parts)


def _table(table: Table) -> str:
    head = ""
    if any(table.columns):
        head = f"<thead><tr>{_cells('th', table.columns, table.words)}</tr></thead>"
    rows = []
    for index, row in enumerate(table.rows):
        last = table.total and index == len(table.rows) - 1
        mark = " class=total" if last else ""
        rows.append(f"<tr{mark}>{_cells('td', row, table.words)}</tr>")
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    body = f'<div class="wide"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'
    return f"<h2>{escape(table.title)}</h2>{body}{note}"


def _cells(tag: str, cells: tuple[str, ...], words: int) -> str:
    return "".join(
        f"<{tag}{' class=word' if index < words else ''}>{escape(cell)}</{tag}>"
        for index, cell in enumerate(cells)
    )


def _footer(report: Report) -> str:
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return escape(f"{machine.cpus} × {machine.cpu}, {machine.system}; {versions}.")
