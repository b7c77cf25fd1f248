"""`ringline run`: the main job."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from pipeline.cli.session import json_option, with_config
from pipeline.config import Config, resolve
from pipeline.errors import UsageError

SCALABLE = ("agent", "exec", "audit")


@click.command("run")
@click.option(
    "--rate", type=click.FloatRange(0, 1_000_000, min_open=True), help="Events per second; else the highest."
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many candles.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Where the folder of this run is made.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Journal and audit of this run: an empty folder; else one beside the report.",
)
@click.option("--workers", multiple=True, metavar="STAGE=N", help="Workers of a stage. Repeatable.")
@click.option(
    "--page",
    is_flag=True,
    help="Serve the live page: the first candle waits for somebody to open it, the end for Ctrl-C.",
)
@click.option("--plain", is_flag=True, help="Plain lines instead of the live view.")
@json_option
@with_config
def command(
    config: Config,
    rate: float | None,
    limit: int | None,
    output: Path,
    data: Path | None,
    workers: tuple[str, ...],
    page: bool,
    plain: bool,
    as_json: bool,
) -> int:
    """Replay real market history through the whole pipeline and report.

    12,154 daily candles of five US stocks are signed, posted, decided, filled and audited. Exit code 0 only
    if everything accepted is audited exactly once and the audit verifies.

    \b
    Example:
      ringline run
      ringline run --limit 2000 --rate 500 --workers agent=2
      ringline run --page --rate 200
    """
    # Here and not above: a wrong option is reported before the reports' libraries are loaded.
    from pipeline.replay.job import RunOptions, run

    options = RunOptions(
        limit=limit, rate=rate, data_dir=data, runs_dir=output, plain=plain, json=as_json, page=page
    )
    return run(with_workers(config, workers), options)


def with_workers(config: Config, workers: tuple[str, ...]) -> Config:
    """`config` with other numbers of workers, checked as a whole. Raises UsageError or ConfigError."""
    if not workers:
        return config
    tree = msgspec.to_builtins(config)
    for text in workers:
        stage, equals, count = text.partition("=")
        if stage not in SCALABLE or not equals or not count.isdecimal():
            raise UsageError(f"--workers {text!r}: expected STAGE=N, with {', '.join(SCALABLE)} as stage")
        tree[stage]["workers"] = int(count)
    return resolve(tree)
