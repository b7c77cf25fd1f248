"""`ringline bench`: measurements beside the limits of this machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pipeline import limits
from pipeline.cli.session import json_option, with_config
from pipeline.config import Config
from pipeline.errors import EXIT_NO, EXIT_OK

if TYPE_CHECKING:
    from pipeline.figures import Bench


@click.group("bench")
def command() -> None:
    """Measure, beside the limits of this machine.

    \b
    Example:
      ringline bench pipeline --json
    """


@command.command("pipeline")
@click.option(
    "--seconds", type=click.FloatRange(0.1, 3600), default=10, show_default=True, help="Of each phase."
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 1_000_000, min_open=True),
    default=500,
    show_default=True,
    help="Events per second of the open loop.",
)
@click.option(
    "--keys", type=click.IntRange(1, 1000), default=64, show_default=True, help="Symbols in parallel."
)
@json_option
@with_config
def pipeline(config: Config, seconds: float, rate: float, keys: int, as_json: bool) -> int:
    """Measure the whole pipeline: latency at a fixed rate, then the highest rate.

    One worker a stage, client included, on a data folder of its own. Exit code 1 when a target is missed.

    \b
    Example:
      ringline bench pipeline --seconds 20 --json
    """
    from pipeline.bench.pipeline import BenchOptions, run

    options = BenchOptions(seconds=seconds, rate=rate, keys=keys)
    return _print(run(config, options, lambda line: click.echo(line, err=True)), as_json)


@command.command("telemetry")
@click.option(
    "--rounds",
    type=click.IntRange(1, 1000),
    default=15,
    show_default=True,
    help="Of every subject; more are steadier.",
)
@json_option
def telemetry(rounds: int, as_json: bool) -> int:
    """Measure telemetry: a record beside the clock, an empty call and other libraries; the collector.

    Libraries that are not installed are left out and named. Exit code 1 when a target is missed.

    \b
    Example:
      ringline bench telemetry --json
    """
    from pipeline.bench.telemetry import Options, run

    return _print(run(Options(rounds=rounds), lambda line: click.echo(line, err=True)), as_json)


def _print(bench: Bench, as_json: bool) -> int:
    from pipeline.bench.render import print_bench
    from pipeline.figures import encode_bench

    if as_json:
        sys.stdout.write(encode_bench(bench).decode())
    else:
        from rich.console import Console

        # A pipe has no width of its own; 80 columns would cut the names.
        print_bench(bench, Console(highlight=False, width=None if sys.stdout.isatty() else 140))
    return EXIT_OK if bench.met else EXIT_NO


@command.command("backtest")
@click.option(
    "--candles", type=click.IntRange(1, limits.MAX_BENCH_CANDLES), default=200_000, show_default=True
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1337, show_default=True)
@click.option(
    "--repeats", type=click.IntRange(1, 1000), default=3, show_default=True, help="After a warm-up."
)
@click.option("--symbol", default="BTCUSDT", show_default=True)
@click.option("--peers/--no-peers", default=True, help="Also measure other backtesters that are installed.")
@click.option(
    "--peers-python",
    metavar="PATH",
    default="",
    help="The Python that has them, if not the one that runs this.",
)
@json_option
def backtest(
    candles: int, seed: int, repeats: int, symbol: str, peers: bool, peers_python: str, as_json: bool
) -> int:
    """Measure the backtester: fast path, live path, start and memory.

    JSON goes to stdout always; without --json a table for people goes to stderr. Exit code 1 when a target is
    missed.

    \b
    Example:
      ringline bench backtest --candles 200000 --repeats 5 --json
      ringline bench backtest --peers-python peers/bin/python
    """
    from pipeline.bench.backtest import Options, encode, run
    from pipeline.bench.render import print_results

    options = Options(
        candles=candles, seed=seed, repeats=repeats, symbol=symbol, peers=peers, peers_python=peers_python
    )
    bench = run(options, lambda line: click.echo(line, err=True))
    if not as_json:
        from rich.console import Console

        console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 140)
        print_results(bench.machine, bench.results, console)
    sys.stdout.write(encode(bench).decode())
    return EXIT_OK if bench.met else EXIT_NO


@command.command("throttle")
@click.option(
    "--decisions",
    type=click.IntRange(1000, limits.MAX_BENCH_DECISIONS),
    default=200_000,
    show_default=True,
    help="Of each row.",
)
@click.option("--repeats", type=click.IntRange(1, 1000), default=3, show_default=True)
@json_option
def throttle(decisions: int, repeats: int, as_json: bool) -> int:
    """Measure one decision of the trade throttle. Exit code 1 when the target is missed.

    \b
    Example:
      ringline bench throttle --json
    """
    from pipeline.bench.render import print_bench
    from pipeline.bench.throttle import Options, run
    from pipeline.figures import encode_bench

    bench = run(Options(decisions=decisions, repeats=repeats), lambda line: click.echo(line, err=True))
    if as_json:
        sys.stdout.write(encode_bench(bench).decode())
    else:
        from rich.console import Console

        print_bench(bench, Console(highlight=False, width=None if sys.stdout.isatty() else 140))
    return EXIT_OK if bench.met else EXIT_NO


@command.command("links")
@click.option("--messages", type=click.IntRange(1000, 100_000_000), default=100_000, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 3600),
    default=10,
    show_default=True,
    help="Of the fixed rate of 500 messages/s.",
)
@click.option(
    "--idle-seconds",
    type=click.FloatRange(0.1, 3600),
    default=20,
    show_default=True,
    help="For which the whole pipeline is watched doing nothing.",
)
@click.option(
    "--repeats", type=click.IntRange(1, 1000), default=3, show_default=True, help="The best one counts."
)
@json_option
@with_config
def links(
    config: Config, messages: int, seconds: float, idle_seconds: float, repeats: int, as_json: bool
) -> int:
    """Measure one link between two processes, beside multiprocessing.Queue, and the idle pipeline.

    Exit code 1 when a target is missed.

    \b
    Example:
      ringline bench links --json
      ringline bench links --set links.credit=1024
    """
    from pipeline.bench.links import Options, run

    options = Options(messages=messages, seconds=seconds, idle_seconds=idle_seconds, repeats=repeats)
    return _print(run(config, options, lambda line: click.echo(line, err=True)), as_json)


@command.command("gateway")
@click.option(
    "--requests", type=click.IntRange(100, limits.MAX_BENCH_REQUESTS), default=20_000, show_default=True
)
@click.option("--connections", type=click.IntRange(1, 1000), default=128, show_default=True)
@click.option(
    "--repeats", type=click.IntRange(1, 1000), default=3, show_default=True, help="The best one counts."
)
@json_option
@with_config
def gateway(config: Config, requests: int, connections: int, repeats: int, as_json: bool) -> int:
    """Measure durable accepts, beside the same HTTP server that only verifies and echoes.

    The gateway runs alone: verified, parsed, journalled and synced, answered 202. Exit code 1 when a target
    is missed.

    \b
    Example:
      ringline bench gateway --json
    """
    from pipeline.bench.gateway import Options, run

    options = Options(requests=requests, connections=connections, repeats=repeats)
    return _print(run(config, options, lambda line: click.echo(line, err=True)), as_json)


@command.command("overload")
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=60, show_default=True, help="Of each overload."
)
@click.option(
    "--times", type=click.FloatRange(1, 100), default=10, show_default=True, help="What is taken, so often."
)
@click.option(
    "--rate",
    type=click.IntRange(10, 10_000),
    default=200,
    show_default=True,
    help="Events per second that the limited source may send.",
)
@click.option("--connections", type=click.IntRange(1, 1000), default=256, show_default=True)
@json_option
@with_config
def overload(config: Config, seconds: float, times: float, rate: int, connections: int, as_json: bool) -> int:
    """Post ten times what is taken: what is refused, how, at what memory, and when all is as before.

    First to a source with a rate limit (429), then past what the pipeline settles, until its journal is full
    (503). That capacity, limited by a simulated venue, is measured before. Exit code 1 when a target is
    missed.

    \b
    Example:
      ringline bench overload --json
      ringline bench overload --seconds 5
    """
    from pipeline.bench.overload import Options, run

    options = Options(seconds=seconds, times=times, rate=rate, connections=connections)
    return _print(run(config, options, lambda line: click.echo(line, err=True)), as_json)


@command.command("page")
@click.option(
    "--seconds", type=click.FloatRange(0.5, 600), default=5, show_default=True, help="Of each round."
)
@click.option("--rounds", type=click.IntRange(1, 100), default=4, show_default=True)
@click.option("--viewers", type=click.IntRange(2, 32), default=4, show_default=True)
@click.option(
    "--rate",
    type=click.FloatRange(0, 100_000, min_open=True),
    default=50,
    show_default=True,
    help="Events per second that are posted meanwhile.",
)
@json_option
@with_config
def page(config: Config, seconds: float, rounds: int, viewers: int, rate: float, as_json: bool) -> int:
    """Measure what viewers of the live page cost a pipeline, at ten frames a second.

    Processor time of collector and feed with no viewer, one and several, in turns. Exit code 1 when a target
    is missed.

    \b
    Example:
      ringline bench page --json
    """
    from pipeline.bench.page import Options, run

    options = Options(seconds=seconds, rounds=rounds, viewers=viewers, rate=rate)
    return _print(run(config, options, lambda line: click.echo(line, err=True)), as_json)


@command.command("audit")
@click.option(
    "--rows", type=click.IntRange(1000, limits.MAX_BENCH_REQUESTS), default=50_000, show_default=True
)
@click.option(
    "--repeats", type=click.IntRange(1, 1000), default=3, show_default=True, help="The best one counts."
)
@json_option
@with_config
def audit(config: Config, rows: int, repeats: int, as_json: bool) -> int:
    """Measure judged, chained appends beside raw inserts into the same table by the same batch.

    PostgreSQL too where audit.engine is postgres, in a schema of its own. Exit code 1 when a target is
    missed.

    \b
    Example:
      ringline bench audit --json
      ringline bench audit --set audit.engine=postgres
    """
    from pipeline.bench.audit import Options, run

    return _print(
        run(config, Options(rows=rows, repeats=repeats), lambda line: click.echo(line, err=True)), as_json
    )


@command.command("valuation")
@click.option(
    "--calls", type=click.IntRange(20, 1_000_000), default=500, show_default=True, help="Of each kind."
)
@json_option
@with_config
def valuation(config: Config, calls: int, as_json: bool) -> int:
    """Measure batches of the valuation over HTTP: three domains of 100 positions, ensemble off and on.

    Marks move before every pair of calls, and values and snapshots are recorded meanwhile. Exit code 1 when a
    target is missed.

    \b
    Example:
      ringline bench valuation --json
    """
    from pipeline.bench.valuation import Options, run

    return _print(run(config, Options(calls=calls), lambda line: click.echo(line, err=True)), as_json)
