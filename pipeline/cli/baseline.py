"""`ringline baseline`: is it healthy, and is it slower than it was?"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.session import json_option, with_config
from pipeline.errors import EXIT_NO, EXIT_OK, ConfigError, UsageError

if TYPE_CHECKING:  # loading them takes 50 ms, which `--help` should not
    from pipeline.cli.watched import Begin, Output
    from pipeline.config import Config
    from pipeline.performance.manager import Trade
    from pipeline.performance.options import OptionsError
    from pipeline.replay.manager import LiveManager

THROTTLE = "throttle_"
LEAST_SELF_TEST = 4
RUN_S = 120
"""One baseline of the self-test takes about two seconds."""


@click.group("baseline", invoke_without_command=True)
@click.option("--trades", type=int, default=6, show_default=True, help="Trades to send, one after the other.")
@click.option("--rate", type=float, default=20.0, show_default=True, help="Trades per second.")
@click.option(
    "--max-processing-ms", type=float, default=150.0, show_default=True, help="Limit of a trade's time."
)
@click.option("--max-lag-ms", type=float, default=150.0, show_default=True, help="Limit of the worst lag.")
@click.option("--backlog-threshold-ms", type=float, help="Limit of the p95 lag; else --max-lag-ms.")
@click.option(
    "--max-cpu-percent", type=float, help="Limit of CPU, of one CPU; of a pipeline its busiest worker."
)
@click.option("--max-memory-mb", type=float, help="Limit of resident memory, MiB.")
@click.option("--max-memory-percent", type=float, help="The same in percent of the machine's.")
@click.option("--throttle-max-trades", type=int, help="Entries within the window; any --throttle-… replaces")
@click.option("--throttle-window-seconds", type=int, help="  the configured throttles by this one.")
@click.option("--throttle-cooldown-seconds", type=int, help="After an exit.")
@click.option("--throttle-min-spacing-seconds", type=int, help="Between entries.")
@click.option("--throttle-max-notional", metavar="DECIMAL", help="Price × quantity within the window.")
@click.option("--throttle-multiplier", metavar="DECIMAL", help="0 (halted) to 1.")
@click.option("--symbol", default="BASELINE", show_default=True, help="What the trades are in …")
@click.option("--strategy", default="baseline", show_default=True, help="… for whom …")
@click.option("--quantity", metavar="DECIMAL", default="1", show_default=True, help="… and how much each …")
@click.option("--price", metavar="DECIMAL", default="100", show_default=True, help="… at which price.")
@click.option("--rounds", type=int, default=25, show_default=True, help="Rounds that time the code; 0: none.")
@click.option("--calls", type=int, default=200, show_default=True, help="Events of a round.")
@click.option(
    "--url",
    "urls",
    multiple=True,
    metavar="URL",
    help="Use the running pipeline whose gateway or collector is at URL (repeat for both; the other is the "
    "configured one). The trades are real ones, closed at the end.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write JSON there (.md: Markdown)."
)
@json_option
@with_config
def command(
    config: Config,
    urls: tuple[str, ...],
    symbol: str,
    strategy: str,
    quantity: str,
    price: str,
    output: Path | None,
    as_json: bool,
    **given: Any,
) -> int | None:
    """Is it healthy, and is it slower than it was?

    Sends trades through the whole decision path, in this process or in a running pipeline, and reports
    throughput, backlog, throttle, CPU and memory beside their limits. Exit code 1 when unhealthy. What a
    trade throttle refuses is reported and is not ill health.

    \b
    Example:
      ringline baseline --trades 6 --throttle-max-trades 1 --throttle-window-seconds 60 \\
          --throttle-max-notional 1000 --max-lag-ms 150 --max-processing-ms 150 \\
          --max-cpu-percent 75 --output before.json
      ringline baseline --url http://127.0.0.1:8001 --trades 400 --output live.json
      ringline baseline diff before.json after.json
    """
    if click.get_current_context().invoked_subcommand is not None:
        return None
    from pipeline.performance.baseline_file import document, write_baseline
    from pipeline.performance.manager import Trade
    from pipeline.performance.report import whole

    throttle = {name.removeprefix(THROTTLE): given.pop(name) for name in list(given) if THROTTLE in name}
    throttle = {name: value for name, value in throttle.items() if value is not None}
    trade = Trade(symbol=symbol, strategy_id=strategy, quantity=quantity, price=price)

    def work(_begin: Begin = int, report: Output = nullcontext) -> int:
        baseline = _collect(config, urls, trade, throttle, given)
        if output is not None:
            write_baseline(output, baseline)
        with report():
            if as_json:
                from pipeline.cli.output import print_json

                print_json(document(baseline))
            else:
                click.echo(whole(baseline), nl=False)
                if output is not None:
                    click.echo(f"\nBaseline: {output}")
        return EXIT_OK if baseline["performance"]["healthy"] else EXIT_NO

    if not urls and any(one.kind == "custom" for one in config.trading.strategies.values()):
        from pipeline.cli.watched import watched

        return watched(work)
    return work()


@command.command("diff")
@click.argument("a", type=click.Path(path_type=Path), required=False)
@click.argument("b", type=click.Path(path_type=Path), required=False)
@click.option("--margin-percent", type=float, default=20.0, show_default=True, help="Worse by more fails.")
@click.option("--self-test", is_flag=True, help="Measure how often unchanged code is called worse.")
@click.option("--runs", type=int, default=40, show_default=True, help="Baselines of the self-test.")
@json_option
def diff(
    a: Path | None, b: Path | None, margin_percent: float, self_test: bool, runs: int, as_json: bool
) -> int:
    """Compare baseline B with A, the machine's speed taken out.

    Exit code 1 when B's p95 is worse by more than 20 % beyond noise: the rank-based lower bound of the
    ratio, over rounds each divided by the reference loop's time in that round, exceeds 1.2 at 99.9 %.

    How often that is a false alarm --self-test measures on this machine, by fresh baselines of unchanged
    code. With --runs 120, 2 virtual CPUs and a load of 3 to 10: 3 of 14,280 pairs (0.02 %), none of 60
    disjoint ones (below 4.9 % with 95 % confidence); made slower, 68 % (×1.3), 97 % (×1.5) and 100 % (×2)
    of the pairs are caught.

    \b
    Example:
      ringline baseline diff before.json after.json
      ringline baseline diff --self-test --runs 40
    """
    if not 0 < margin_percent <= 1000:
        raise UsageError(f"--margin-percent {margin_percent!r}: must be above 0, at most 1000")
    if self_test:
        if a is not None:
            raise UsageError("--self-test takes no files")
        return _self_test(runs, margin_percent / 100, as_json=as_json)
    if a is None or b is None:
        raise UsageError("two baselines to compare, A and B, or --self-test")
    from pipeline.performance.baseline_file import read_baseline
    from pipeline.performance.diff import diff as compared
    from pipeline.performance.diff import sentence

    found = compared(read_baseline(a), read_baseline(b), margin_percent / 100)
    _show(found, sentence(found), as_json=as_json)
    return EXIT_OK if found.ok else EXIT_NO


def _collect(
    config: Config,
    urls: tuple[str, ...],
    trade: Trade,
    throttle: dict[str, Any],
    options: dict[str, Any],
) -> dict[str, Any]:
    from pipeline.performance import collect_performance_baseline
    from pipeline.performance.options import OptionsError, checked

    try:
        checked(**options)
    except OptionsError as error:
        raise UsageError(_as_flags(error)) from None
    if urls:
        if throttle:
            flag = _flag(THROTTLE + next(iter(throttle)))
            raise UsageError(f"{flag} does not go with --url: a running pipeline has its own throttles")
        with _live(config, urls, trade) as manager:
            return collect_performance_baseline(manager, **options)
    from pipeline.stages.inprocess import InProcessManager

    return collect_performance_baseline(InProcessManager(throttled(config, throttle), trade), **options)


def throttled(config: Config, throttle: dict[str, Any]) -> Config:
    """`config` with this one throttle in place of its own; as it is when nothing is asked.

    Raises UsageError with every flag that does not fit.
    """
    if not throttle:
        return config
    import msgspec

    from pipeline.config import resolve

    tree = msgspec.to_builtins(config)
    tree["trading"]["throttles"] = [{"name": "baseline"} | throttle]
    try:
        return resolve(tree)
    except ConfigError as error:
        prefix = "trading.throttles[0]."
        raise UsageError(
            "\n".join(
                _flag(THROTTLE + fault.removeprefix(prefix), " ") if fault.startswith(prefix) else fault
                for fault in error.faults
            )
        ) from None


def _live(config: Config, urls: tuple[str, ...], trade: Trade) -> LiveManager:
    """At each URL is a collector, if it answers with a snapshot, else a gateway."""
    from pipeline.replay.manager import Endpoint, LiveManager, snapshot_at

    found: dict[str, str] = {}
    for url in urls:
        what = "collector_url" if snapshot_at(Endpoint(url)) is not None else "gateway_url"
        if what in found:
            raise UsageError(f"--url {url}: {found[what]} is one already; give a gateway and a collector")
        found[what] = url
    return LiveManager(
        config, trade, gateway_url=found.get("gateway_url"), collector_url=found.get("collector_url")
    )


def _self_test(runs: int, margin: float, *, as_json: bool) -> int:
    """Fresh processes one after the other, each a baseline of the very same code."""
    from pipeline.performance.baseline_file import read_baseline
    from pipeline.performance.false_alarms import false_alarms

    if not LEAST_SELF_TEST <= runs <= 1000:
        raise UsageError(f"--runs {runs}: must be from {LEAST_SELF_TEST} to 1000")
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(runs):
            click.echo(f"baseline {number + 1} of {runs}", err=True)
            file = Path(folder) / f"{number}.json"
            words = ["baseline", "--trades", "1", "--output", str(file)]
            done = subprocess.run(
                [sys.executable, "-m", "pipeline", *words],
                capture_output=True, text=True, timeout=RUN_S, check=False,
            )  # fmt: skip
            if not file.exists():
                raise UsageError(f"ringline {' '.join(words)}: {done.stderr.strip()}")
            costs.append(read_baseline(file).performance.latency.costs)
    found = false_alarms(costs, margin)
    caught = ", ".join(f"{share:.0%} of ×{slowdown}" for slowdown, share in found.caught.items())
    _show(
        found,
        f"False alarms on unchanged code: {found.alarms} of {found.pairs} pairs ({found.rate:.2%}); of "
        f"{found.disjoint_pairs} disjoint pairs {found.disjoint_alarms}: below {found.rate_upper:.1%} with "
        f"95 % confidence\nFarthest apart: ratio {found.widest_ratio:.3f}. Caught: {caught}",
        as_json=as_json,
    )
    return EXIT_OK


def _show(found: object, text: str, *, as_json: bool) -> None:
    if as_json:
        from pipeline.cli.output import print_json

        print_json(found)
    else:
        click.echo(text)


def _as_flags(error: OptionsError) -> str:
    return "\n".join(f"{_flag(fault.option)} {fault.value}: {fault.rule}" for fault in error.faults)


def _flag(text: str, end: str = "") -> str:
    """`max_lag_ms` → `--max-lag-ms`; with `end`, only what comes before it is a name."""
    name, found, rest = text.partition(end) if end else (text, "", "")
    return f"--{name.replace('_', '-')}{found}{rest}"
