"""Makes a table fit a narrow terminal: whole columns go before a figure is cut, words are shortened last."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.table import Column, Table

GAP = 2
"""Between two columns."""
LEAST_TEXT = 8
"""Words are shortened to this or to their heading, never a number or a time."""


def fit(table: Table, width: int, drops: Sequence[str] = (), whole: Sequence[str] = ()) -> Table:
    """`drops` are the headings of columns that may go, first what matters least; those of `whole` are, like
    numbers, shown in full or not at all."""
    for heading in ("", *drops):
        table.columns = [column for column in table.columns if column.header != heading]
        if sum(_least(column, whole) for column in table.columns) <= width - _gaps(table):
            break
    room = width - _gaps(table)
    widths = [_natural(column) for column in table.columns]
    while sum(widths) > room:
        shrinkable = [
            place for place, column in enumerate(table.columns) if widths[place] > _least(column, whole)
        ]
        if not shrinkable:
            break
        widths[max(shrinkable, key=widths.__getitem__)] -= 1
    for place, column in enumerate(table.columns):
        column.width, column._index = widths[place], place
    return table


def _gaps(table: Table) -> int:
    return GAP * max(0, len(table.columns) - 1)


def _natural(column: Column) -> int:
    return max(cell_len(str(text)) for text in (column.header, *column.cells))


def _least(column: Column, whole: Sequence[str]) -> int:
    natural = _natural(column)
    return (
        natural
        if column.justify == "right" or column.header in whole
        else min(natural, max(LEAST_TEXT, cell_len(str(column.header))))
    )
