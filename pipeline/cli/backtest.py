"""`ringline backtest`: strategies over candles, by the code that runs live."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.session import json_option, with_config
from pipeline.config import Config
from pipeline.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress

    from pipeline.backtest.date_order import DateOrder
    from pipeline.backtest.job import Data
    from pipeline.backtest.report import Report
    from pipeline.backtest.sweep import Run
    from pipeline.cli.watched import Begin, Output

PIPE_WIDTH = 140
"""A pipe has no width of its own; 80 columns would cut the names."""


@click.command("backtest")
@click.argument("data", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--history", is_flag=True, help="The five stocks of `ringline run` instead of a file.")
@click.option("--symbol", default="", help="Name of the candles; else a column or the file's name says it.")
@click.option("--round", "rounded", is_flag=True, help="Take the nearest tick of prices that are on none.")
@click.option(
    "--date-order",
    type=click.Choice(["mdy", "dmy"]),
    help="Of dates such as 01/02/2024: month or day first; else the file has to tell.",
)
@click.option("--capital", type=click.FloatRange(0, min_open=True), help="What returns are of.")
@click.option("--live-path", is_flag=True, help="Every candle one by one: slower, the same.")
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the report with plots here."
)
@click.option("--sweep", multiple=True, metavar="KEY=A,B,…", help="Try every combination. Repeatable.")
@click.option(
    "--jobs", type=click.IntRange(1, 256), default=os.cpu_count() or 1, help="Processes of a sweep."
)
@json_option
@with_config
def command(
    config: Config,
    data: Path | None,
    history: bool,
    symbol: str,
    rounded: bool,
    date_order: DateOrder | None,
    capital: float | None,
    live_path: bool,
    html: Path | None,
    sweep: tuple[str, ...],
    jobs: int,
    as_json: bool,
) -> int:
    """Run strategies over a file of candles, by the code that runs live.

    DATA is CSV (also .gz) or Parquet with open, high, low, close and a time; volume and symbol where there
    are any. Which number of dates such as 01/02/2024 is the month, any line of the file may tell. The run
    digest is the one the live pipeline leaves for the same candles and configuration.

    \b
    Example:
      ringline backtest BTCUSDT-1m.csv --html report.html
      ringline backtest --history --sweep strategies.sma.fast=5,10 --sweep strategies.sma.slow=30,60
    """
    from pipeline.backtest.sweep import axis

    if (data is None) != history:
        raise UsageError("DATA: give a file of candles, or --history, and not both")
    if history and symbol:
        raise UsageError("--symbol: the history has its own symbols")
    if history and date_order is not None:
        raise UsageError("--date-order: the history has its own dates")
    if capital is not None and not isfinite(capital):
        raise UsageError(f"--capital {capital!r}: must be a finite number")
    if sweep and html is not None:
        raise UsageError("--html: a sweep has no page; run the combination you want with --set")
    axes = [axis(text) for text in sweep]

    def work(begin: Begin = int, output: Output = nullcontext) -> int:
        with _bar() as bar:
            found = _read(config, data, symbol, rounded, date_order, bar)
            if axes:
                return _sweep(config, axes, found, jobs, capital, as_json, bar, begin, output)
            return _run(config, found, capital, live_path, html, as_json, bar, output)

    kinds = [strategy.kind for strategy in config.trading.strategies.values()]
    if "custom" in kinds or any("custom" in values for _, values in axes):
        from pipeline.cli.watched import watched

        return watched(work)
    return work()


def _read(
    config: Config,
    file: Path | None,
    symbol: str,
    rounded: bool,
    date_order: DateOrder | None,
    bar: Progress,
) -> Data:
    from pipeline.backtest.job import Data
    from pipeline.trading.instruments import Instruments

    instruments = Instruments(config.trading)
    if file is None:
        return _history(instruments)
    from pipeline.backtest.readers import read_candles

    task = bar.add_task("reading", total=None)
    series, findings = read_candles(
        file,
        instruments,
        symbol,
        rounded=rounded,
        date_order=date_order,
        progress=lambda rows: bar.advance(task, rows),
    )
    bar.update(task, total=findings.candles, completed=findings.candles)
    return Data(series, findings, str(file))


def _history(instruments: object) -> Data:
    from pipeline.backtest.assemble import Findings
    from pipeline.backtest.job import Data
    from pipeline.backtest.series import by_symbol
    from pipeline.messages import Candle
    from pipeline.replay.history import SOURCE, read_history
    from pipeline.trading.instruments import Instruments

    assert isinstance(instruments, Instruments)
    inside = (instruments.inside(posted) for candles in read_history().values() for posted in candles)
    series = by_symbol(candle for candle in inside if isinstance(candle, Candle))
    sizes = {symbol: len(one) for symbol, one in series.items()}
    return Data(series, Findings(candles=sum(sizes.values()), symbols=sizes), SOURCE)


def _run(
    config: Config,
    data: Data,
    capital: float | None,
    live_path: bool,
    html: Path | None,
    as_json: bool,
    bar: Progress,
    output: Output,
) -> int:
    from pipeline.backtest.job import backtest, runs_of, write_html

    task = bar.add_task("running", total=data.findings.candles * runs_of(config))
    report = backtest(
        config,
        data,
        path="live" if live_path else "auto",
        capital=capital,
        progress=lambda candles: bar.advance(task, candles),
    )
    bar.stop()
    if html is not None:
        write_html(report, html)
    with output():
        _print(report, html, as_json)
    return EXIT_OK


def _print(report: Report, html: Path | None, as_json: bool) -> None:
    from pipeline.backtest.render import headline, tables
    from pipeline.backtest.report import encode_report

    if as_json:
        sys.stdout.write(encode_report(report).decode())
        return
    from rich.console import Console
    from rich.text import Text

    from pipeline.plotting.text import rich_table

    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    for table in tables(report):
        console.print(rich_table(table))
        if table.note:
            console.print(Text(table.note, style="dim"), soft_wrap=True)
        console.print()
    console.print(Text(headline(report), style="bold"), soft_wrap=True)
    if html is not None:
        console.print(f"Report: {html}", markup=False, soft_wrap=True)


def _sweep(
    config: Config,
    axes: list[tuple[str, tuple[str, ...]]],
    data: Data,
    jobs: int,
    capital: float | None,
    as_json: bool,
    bar: Progress,
    begin: Begin,
    output: Output,
) -> int:
    from pipeline.backtest.sweep import sweep

    total = 1
    for _, values in axes:
        total *= len(values)
    task = bar.add_task("combinations", total=total)
    runs = list(
        sweep(
            config,
            axes,
            data.series,
            jobs=jobs,
            capital=capital,
            progress=lambda n: bar.advance(task, n),
            begin=begin,
        )
    )
    bar.stop()
    if all(run.fault for run in runs):
        raise UsageError(f"--sweep: no combination is possible: {runs[0].fault}")
    with output():
        _print_sweep(axes, data, runs, as_json)
    return EXIT_OK


def _print_sweep(axes: list[tuple[str, tuple[str, ...]]], data: Data, runs: list[Run], as_json: bool) -> None:
    from pipeline.backtest.report import SCHEMA
    from pipeline.cli.output import print_json, print_table

    if as_json:
        print_json({"schema": SCHEMA, "source": data.source, "candles": data.findings.candles, "runs": runs})
        return
    rows = [
        [
            *run.values.values(),
            *(
                [f"{Decimal(run.net):.2f}", str(run.trades), f"{run.drawdown:.2f}",
                 "–" if run.sharpe is None else f"{run.sharpe:.2f}", str(run.denied), run.digest[:16]]
                if not run.fault else ["–", "–", "–", "–", "–", run.fault]
            ),
        ]
        for run in runs
    ]  # fmt: skip
    names = [name.removeprefix("trading.") for name, _ in axes]
    print_table([*names, "net", "trades", "drawdown", "Sharpe", "denied", "digest"], rows)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)
