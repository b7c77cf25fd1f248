"""A report as one HTML file that needs nothing else: readable offline, in light and dark."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib import resources

from pipeline.plotting.tables import Table


def page(
    title: str,
    headline: str,
    soft: str,
    tables: Iterable[Table],
    plots: Iterable[tuple[str, str]],
    footer: str,
    *,
    good: bool,
) -> str:
    """The page; all but the SVG of `plots` (title, drawing) is plain text and is escaped here."""
    name = escape(title)
    style = resources.files("pipeline.plotting").joinpath("data", "report.css").read_text(encoding="utf-8")
    verdict = "good" if good else "bad"
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{style}</style></head><body><h1>{name}</h1>",
        f'<p class="verdict {verdict}">{escape(headline)}</p>',
        f'<p class="soft">{escape(soft)}</p>',
    ]
    parts += [_table(table) for table in tables]
    parts += [f"<h2>{escape(heading)}</h2>{drawing}" for heading, drawing in plots]
    parts.append(f'<p class="soft">{escape(footer)}</p></body></html>\n')
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
