"""`ringline plan`: from what a worker was measured to do, to what a load takes."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pipeline.cli.output import print_json
from pipeline.cli.session import json_option, with_config
from pipeline.config import Config
from pipeline.errors import EXIT_NO, EXIT_OK, UsageError

MILLION = 1e6


@click.command("plan")
@click.option(
    "--figures",
    type=click.Path(path_type=Path),
    help="Take the capacity from an earlier plan's JSON or from a load test's report or folder.",
)
@click.option("--measure", is_flag=True, help="Measure it on this machine; also without --figures.")
@click.option(
    "--seconds", type=click.FloatRange(1, 600), default=5, show_default=True, help="Of the measurement."
)
@click.option(
    "--events-a-day", type=click.FloatRange(1, 1e6), metavar="MILLIONS", help="A load instead of the table's."
)
@click.option(
    "--peak-hour", type=click.FloatRange(0.001, 1e6), metavar="MILLIONS", help="With it; else a tenth of it."
)
@click.option("--regions", type=click.IntRange(1, 100), default=1, show_default=True, help="With it.")
@click.option(
    "--burst", type=click.FloatRange(1, 100), default=1.5, show_default=True, help="Peak second by hour."
)
@click.option("--keys", type=click.IntRange(1, 10_000_000), default=5000, show_default=True, help="Symbols.")
@json_option
@with_config
def command(
    config: Config,
    figures: Path | None,
    measure: bool,
    seconds: float,
    events_a_day: float | None,
    peak_hour: float | None,
    regions: int,
    burst: float,
    keys: int,
    as_json: bool,
) -> int:
    """Plan workers, cores, memory and storage for a load, and try the plan in a simulation.

    What an event costs is measured on this machine, or taken from a file. Every assumption is printed.
    Exit code 1 when a plan does not keep its latency in the simulation.

    \b
    Example:
      ringline plan --json > plan.json
      ringline plan --figures runs/loadtest-load-… --events-a-day 500 --peak-hour 50 --regions 3
    """
    from pipeline.plan.capacity import read_capacity
    from pipeline.plan.phases import PHASES, Assumptions, Phase
    from pipeline.plan.report import make_report

    if measure and figures is not None:
        raise UsageError("--measure and --figures: one of them")
    if events_a_day is None and (peak_hour is not None or regions > 1):
        raise UsageError("--peak-hour and --regions go with --events-a-day")
    if (
        events_a_day is not None
        and peak_hour is not None
        and not events_a_day / 24 <= peak_hour <= events_a_day
    ):
        raise UsageError(
            f"--peak-hour {peak_hour:g}: of {events_a_day:g} million a day the fullest hour has from "
            f"{events_a_day / 24:g} to {events_a_day:g}"
        )
    if figures is not None:
        capacity = read_capacity(figures)
    else:
        from pipeline.plan.measure import measure as measured

        capacity = measured(config, seconds, 64, lambda line: click.echo(line, err=True))
    phases: tuple[Phase, ...] = PHASES
    if events_a_day is not None:
        peak = peak_hour if peak_hour is not None else events_a_day / 10
        name = f"{events_a_day:g} M a day" + (f", {regions} regions" if regions > 1 else "")
        day, hour = events_a_day * MILLION, peak * MILLION
        phases = (Phase(name=name, events_a_day=day, peak_hour=hour, regions=regions),)
    report = make_report(capacity, Assumptions(burst=burst, keys=keys), phases)
    if as_json:
        print_json(report)
    else:
        _show(report)
    return EXIT_OK if report.ok else EXIT_NO


def _show(report: object) -> None:
    from rich.console import Console

    from pipeline.plan.report import Report, tables, texts
    from pipeline.plotting.text import rich_table

    assert isinstance(report, Report)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    for table in tables(report):
        console.print(rich_table(table))
    for line in texts(report):
        click.echo(line)
