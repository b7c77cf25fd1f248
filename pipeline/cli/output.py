"""How results look: JSON for programs, aligned plain text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import msgspec


def print_json(value: Any) -> None:
    """One indented document."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def print_json_line(value: Any) -> None:
    """One document a line, for streams of them."""
    click.echo(msgspec.json.encode(value))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell; cells that look like numbers stand to the right."""
    widths = [max(len(row[index]) for row in (headings, *rows)) for index in range(len(headings))]
    right = [bool(rows) and all(_numeric(row[index]) for row in rows) for index in range(len(headings))]
    for row in (headings, *rows):
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def _numeric(cell: str) -> bool:
    return cell == "–" or cell[:1].isdigit() or (cell[:1] == "-" and cell[1:2].isdigit())
