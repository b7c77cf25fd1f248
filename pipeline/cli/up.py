"""`ringline up`: the whole pipeline, until it is stopped."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import click

from pipeline.cli.output import print_table
from pipeline.cli.session import Session, with_config
from pipeline.config import Config
from pipeline.config.sources import sender_of
from pipeline.errors import EXIT_OK, UsageError
from pipeline.process import StopFlag
from pipeline.supervisor import Supervisor, Vigil, endpoints
from pipeline.supervisor.vigil import LONG_S

SCALE_EVERY_S = 0.1
FIRST_EVENT = ("--symbol", "AAPL", "--side", "buy", "--quantity", "10", "--price", "101.25")


@click.command("up")
@click.option("--autoscale", is_flag=True, help="Add and remove agents and execs, as the operator does pods.")
@click.option(
    "--replicas",
    "bounds",
    multiple=True,
    metavar="STAGE=LEAST..MOST",
    help="With --autoscale: bounds of agent or exec. Repeatable.",
)
@click.option(
    "--policy",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --autoscale: a Pipeline as the operator takes it, JSON or TOML.",
)
@click.pass_obj
@with_config
def command(
    session: Session, config: Config, autoscale: bool, bounds: tuple[str, ...], policy: Path | None
) -> int:
    """Run the whole pipeline until it is stopped.

    Starts the collector and the workers of every stage, restarts what dies, and prints where things listen
    and a line to send a first event with. Ctrl-C or SIGTERM drains everything in order.

    With --autoscale a lag above a second has agents or execs added, and a quiet minute has them removed
    again. Each decision is said in a sentence, shown by `ringline status`, and kept in
    data_dir/decisions.jsonl, which `ringline-operator replay` decides again.

    \b
    Example:
      ringline up
      ringline up --set agent.workers=2 --set data_dir=/srv/ringline
      ringline up --autoscale --replicas exec=1..8
    """
    if not autoscale and (bounds or policy is not None):
        raise UsageError("--replicas and --policy go with --autoscale")
    stop = StopFlag()
    hang_up = () if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else (signal.SIGHUP,)
    stop.listen((signal.SIGTERM, signal.SIGINT, *hang_up))
    scaling = None
    if autoscale:  # imported here: the policy is the operator's
        from pipeline.cli.autoscale import Scaling

        scaling = Scaling(config, bounds, policy)
        config = scaling.config
    most_s = LONG_S if scaling is None else SCALE_EVERY_S
    with Supervisor(config, report=_say) as supervisor, scaling or nullcontext(), Vigil(supervisor) as vigil:
        started_s = time.monotonic()
        supervisor.start()
        announced = False
        while not vigil.wait(stop, most_s):
            supervisor.poll()
            if not announced and supervisor.ready:
                announced = True
                _announce(config, session.words, time.monotonic() - started_s)
                if scaling is not None:
                    scaling.begin(supervisor, _say)
            if scaling is not None:
                scaling.tick()
        _say(f"stopping: every stage has {config.supervisor.drain_s} s to drain")
    return 128 + stop.signal if stop.signal == signal.SIGINT else EXIT_OK


def _announce(config: Config, words: Sequence[str], took_s: float) -> None:
    click.echo(f"Ringline runs in {config.data_dir} (started in {took_s:.1f} s; Ctrl-C stops it).\n")
    print_table(("worker", "listens on"), list(endpoints(config).items()))
    where = endpoints(config)
    source = sender_of(config.sources, "signal") or next(iter(config.sources))
    click.echo(f"\nWebhooks: POST {where['gateway-0']}/webhook/{source}")
    click.echo(f"Metrics:  GET {where['collector']}/metrics and /v1/snapshot")
    if config.feed.enabled and config.feed.page:
        click.echo(f"Page:     {where['feed']}/")
    own = own_words(sys.argv[0])
    click.echo("\nSend a first event, and see how all goes:")
    click.echo(f"  {shlex.join((*own, 'send', *words, *FIRST_EVENT))}")
    click.echo(f"  {shlex.join((*own, 'status', *words))}\n")


def own_words(program: str) -> tuple[str, ...]:
    """What starts this command line again, where `program` is how it was started: `ringline` if the shell
    finds this one by that name, else its path; by `python -m` the same again."""
    found = shutil.which("ringline")
    if not os.access(program, os.X_OK):
        return (sys.executable, "-m", "pipeline")
    return ("ringline",) if found and Path(found).samefile(program) else (program,)


def _say(line: str) -> None:
    click.echo(line, err=True)
