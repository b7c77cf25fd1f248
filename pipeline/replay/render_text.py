"""The report on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from pipeline.plotting.text import rich_table
from pipeline.replay.report import Report
from pipeline.replay.tables import headline, tables


def print_report(report: Report, console: Console) -> None:
    """Prints every table; the headline comes last, where eyes are when a run ends."""
    for table in tables(report):
        console.print(rich_table(table))
        if table.note:
            console.print(Text(table.note, style="dim"))
        console.print()
    console.print(Text(headline(report), style="bold green" if report.ok else "bold red"))
