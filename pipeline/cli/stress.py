"""`ringline stress`: many calls of a service, beside the figures that it should beat."""

from __future__ import annotations

import click

from pipeline.cli.output import print_json, print_table
from pipeline.cli.session import json_option, with_config
from pipeline.config import Config
from pipeline.errors import EXIT_OK


@click.group("stress")
def command() -> None:
    """Call a service many times and tell what it cost.

    \b
    Example:
      ringline stress valuation --calls 200
    """


@command.command("valuation")
@click.option(
    "--calls", type=click.IntRange(6, 1_000_000), default=200, show_default=True, help="Off, and as many on."
)
@json_option
@with_config
def valuation(config: Config, calls: int, as_json: bool) -> int:
    """Value three domains of 100 positions, with the ensemble off and on, in a service of its own.

    Marks move before every pair of calls, and values and snapshots are recorded meanwhile. The engine is the
    configured one.

    \b
    Example:
      ringline stress valuation
      ringline stress valuation --calls 1000 --json
    """
    from pipeline.bench.valuation_stress import HEADINGS, rows, run

    found = run(config, calls, lambda line: click.echo(line, err=True))
    if as_json:
        print_json(found)
        return EXIT_OK
    print_table(HEADINGS, rows(found))
    cost, cpu = found.ensemble_cost, found.ensemble_cpu_cost
    wall = f"{cost.percent:.2f} % ({cost.low:.2f} to {cost.high:.2f} with 95 %)"
    processor = f"{cpu.percent:.2f} % ({cpu.low:.2f} to {cpu.high:.2f})"
    click.echo(
        f"\n{found.marks_moved} of {found.domains * found.positions} marks moved before each pair of calls."
    )
    click.echo(
        f"The ensemble costs {wall}, in processor time {processor}; the reference {cost.reference:g} %."
    )
    if found.note:
        click.echo(found.note, err=True)
    return EXIT_OK
