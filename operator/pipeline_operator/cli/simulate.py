"""`ringline-operator simulate`: the policy beside HPA, KEDA and Knative on traces of load."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from pipeline.errors import EXIT_NO, EXIT_OK, UsageError
from pipeline_operator.words import counted


@click.command("simulate")
@click.option(
    "--trace", "names", multiple=True, metavar="NAME", help="A shipped trace; repeatable.  [default: all]"
)
@click.option(
    "--csv",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A CSV with a count of messages a minute in its last column; repeatable.",
)
@click.option("--list", "as_list", is_flag=True, help="List the shipped traces, and leave.")
@click.option("--seed", type=click.IntRange(0, 2**31), default=1, show_default=True, help="Of all noise.")
@click.option(
    "--lag-ms",
    type=click.IntRange(250, 600_000),
    default=1000,
    show_default=True,
    help="The SLA of each stage.",
)
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A tuning, such as drainMs=5000."
)
@click.option("--sweep/--no-sweep", default=True, help="Also find the rivals' cost at our SLA minutes.")
@click.option(
    "--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with plots."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(
    names: tuple[str, ...],
    files: tuple[Path, ...],
    as_list: bool,
    seed: int,
    lag_ms: int,
    assignments: tuple[str, ...],
    sweep: bool,
    page: Path | None,
    as_json: bool,
) -> int:
    """Compare the policy with HPA, KEDA and Knative on traces of load.

    A model of agent, exec and audit: queues, credit, service times and start times with noise. One seed is
    one run, and the load and the noise are the same for all. SLA minutes are those in which any stage's lag
    exceeds its SLA. The rivals know what ours has to learn: KEDA what a replica can do, Knative how much it
    holds. The model leaves out keys that move, pods that fail and what the API server takes.

    Exit code 1 when a rival, at any target swept, does no worse in SLA minutes and is cheaper.

    \b
    Example:
      ringline-operator simulate --trace spikes --html simulate.html
      ringline-operator simulate --csv counts-a-minute.csv --set drainMs=5000 --json
    """
    from pipeline_operator.simulation.compare import Settings, compare, report
    from pipeline_operator.simulation.traces import SHIPPED, read_trace
    from pipeline_operator.tuning import with_tuning

    if as_list:
        for trace in SHIPPED:
            click.echo(f"{trace.name:10} {trace.seconds // 60:3} min  {trace.meaning}")
        return EXIT_OK
    shipped = {trace.name: trace for trace in SHIPPED}
    for name in names:
        if name not in shipped:
            raise UsageError(f"--trace {name!r}: expected one of {', '.join(shipped)}")
    traces = [shipped[name] for name in names] + [read_trace(file) for file in files]
    settings = Settings(seed=seed, lag_ms=lag_ms, tuning=with_tuning(assignments), sweep=sweep)
    comparisons = []
    for trace in traces or SHIPPED:
        click.echo(f"{trace.name}: {counted(trace.seconds // 60, 'minute')}", err=True)
        comparisons.append(compare(trace, settings))
    made = report(tuple(comparisons), settings)
    if page is not None:
        _write(page, made)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(made), indent=2))
    else:
        _print(made)
    return EXIT_OK if made.met else EXIT_NO


def _write(file: Path, made: object) -> None:
    from pipeline.errors import MissingError
    from pipeline_operator.simulation.compare import Report
    from pipeline_operator.simulation.render import html

    assert isinstance(made, Report)
    try:
        file.write_text(html(made), encoding="utf-8")
    except OSError as error:
        raise MissingError(f"--html {file}: cannot be written: {error.strerror}") from None


def _print(made: object) -> None:
    import sys

    from rich.console import Console

    from pipeline.plotting.text import rich_table
    from pipeline_operator.simulation.compare import Report
    from pipeline_operator.simulation.render import headline, tables

    assert isinstance(made, Report)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    for table in tables(made):
        console.print(rich_table(table))
    click.echo(headline(made))
