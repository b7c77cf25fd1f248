"""A bench for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from pipeline.figures import Bench, Result
from pipeline.machine import Machine
from pipeline.plotting.tables import Table
from pipeline.plotting.text import rich_table

_COLUMNS = ("", "value", "unit", "target", "met", "ratio", "to")


def print_bench(bench: Bench, console: Console) -> None:
    print_results(bench.machine, bench.results, console)


def print_results(machine: Machine, results: Iterable[Result], console: Console) -> None:
    rows = tuple(map(_row, results))
    console.print(rich_table(Table(f"{machine.cpus} × {machine.cpu}", _COLUMNS, rows)))


def _row(result: Result) -> tuple[str, ...]:
    met = {None: "", True: "yes", False: "NO"}[result.met]
    return (
        result.name,
        _figure(result.value),
        result.unit,
        _figure(result.target) if result.target is not None else "",
        met,
        _figure(result.ratio) if result.ratio is not None else "",
        result.against,
    )


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"
