"""A table on a terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from pipeline.plotting.tables import Table


def rich_table(table: Table) -> RichTable:
    """One table, with cells as they are: nothing in them is markup."""
    drawn = RichTable(
        title=table.title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_header=any(table.columns),
        pad_edge=False,
        collapse_padding=True,
    )
    for index, name in enumerate(table.columns):
        words = index < table.words
        drawn.add_column(Text(name), justify="left" if words else "right", no_wrap=True)
    for index, row in enumerate(table.rows):
        last = table.total and index == len(table.rows) - 1
        drawn.add_row(*map(Text, row), style="bold" if last else "")
    return drawn
