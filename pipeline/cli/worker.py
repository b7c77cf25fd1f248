"""`ringline worker`: one worker of a stage."""

from __future__ import annotations

import click

from pipeline import limits
from pipeline.cli.serve import serve
from pipeline.cli.session import with_config
from pipeline.config import Config
from pipeline.process import announce_ready

STAGES = ("gateway", "agent", "exec", "audit", "valuation")


@click.command("worker")
@click.argument("stage", type=click.Choice(STAGES))
@click.option(
    "--ordinal",
    type=click.IntRange(0, limits.MAX_WORKERS - 1),
    default=0,
    show_default=True,
    help="Which worker of the stage or replica this is; it listens on the stage's port + 10 × ordinal.",
)
@click.option(
    "--replica",
    default="",
    metavar="POD",
    help="The replica that it is of: a pod's name, which ends in its number.",
)
@with_config
def command(config: Config, stage: str, ordinal: int, replica: str) -> int:
    """Run one worker of a stage (what a container runs).

    It drains and leaves on SIGTERM.

    \b
    Example:
      ringline worker agent --ordinal 1 --config ringline.toml
      ringline worker exec --replica ringline-exec-3
      ringline worker valuation --set valuation.engine=postgres
    """
    from pipeline.stages import run_worker, worker_ordinal

    ordinal = worker_ordinal(stage, ordinal, replica, config)
    return serve(config, lambda stop: run_worker(stage, ordinal, config, announce_ready, stop))
