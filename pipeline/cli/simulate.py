"""`ringline simulate`: the product's own code under simulated faults."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from typing import Any

import click

from pipeline.cli.output import print_json
from pipeline.cli.session import json_option
from pipeline.errors import EXIT_NO, EXIT_OK

PROGRESS_S = 2.0


@click.group("simulate")
def command() -> None:
    """Run the product's own code under simulated faults.

    \b
    Example:
      ringline simulate links --seeds 1000
    """


@command.command("links")
@click.option(
    "--seeds", type=click.IntRange(1, 10_000_000), default=200, show_default=True, help="How many runs."
)
@click.option("--first", type=click.IntRange(0, 2**31), default=1, show_default=True, help="The first seed.")
@click.option("--hard", is_flag=True, help="Many faults at once, two versions of the agents' code.")
@click.option("--jobs", type=click.IntRange(1, 64), default=None, help="Processes.  [default: one a core]")
@click.option("--without", "rule", metavar="RULE", help="Take one rule out of the code: seeds must fail.")
@click.option("--rules", is_flag=True, help="List the rules, and leave.")
@json_option
def links(
    seeds: int, first: int, hard: bool, jobs: int | None, rule: str | None, rules: bool, as_json: bool
) -> int:
    """Simulate gateway, agents, execs and audits: lost, doubled, late and reordered frames, pauses, kills,
    power cuts, failing disks, workers that come and go, poison.

    One seed is one run of the protocol core, the journal and the trading step, and always the same run.
    After each, everything answered 202 must be audited exactly once, in order, and every row must be the
    step of the row before. A seed that fails tells its story. Exit code 1 when one did.

    \b
    Example:
      ringline simulate links --seeds 1000
      ringline simulate links --first 42 --seeds 1 --hard
      ringline simulate links --hard --without digests
    """
    from pipeline.simulation.rules import RULES
    from pipeline.simulation.run import quiet, run_seeds

    if rules:
        for name, each in RULES.items():
            click.echo(f"{name:15} {each.meaning}{' (--hard)' if each.hard else ''}")
        return EXIT_OK
    if rule is not None and rule not in RULES:
        raise click.BadParameter(f"{rule!r}: expected one of {', '.join(RULES)}", param_hint="--without")
    if rule is not None and RULES[rule].hard and not hard:
        click.echo(f"Without --hard these seeds hardly show that {rule} is missing.", err=True)
    quiet()
    counts: Counter[str] = Counter()
    failed: list[dict[str, Any]] = []
    began = shown = time.monotonic()
    for done, result in enumerate(
        run_seeds(first, seeds, hard=hard, rule=rule, jobs=jobs or os.cpu_count() or 1), 1
    ):
        counts.update(result.counts)
        if result.violation:
            failed.append({"seed": result.seed, "violation": result.violation})
            if len(failed) == 1:
                _tell(result.seed, result.violation, result.story)
        if time.monotonic() - shown >= PROGRESS_S:
            shown = time.monotonic()
            click.echo(f"{done:,} of {seeds:,} seeds, {len(failed)} failed", err=True)
    outcome = {
        "schema": 1, "seeds": seeds, "first": first, "hard": hard, "without": rule,
        "clean": seeds - len(failed), "failed": failed[:100], "counts": dict(sorted(counts.items())),
        "seconds": round(time.monotonic() - began, 3),
    }  # fmt: skip
    if as_json:
        print_json(outcome)
    else:
        _summarise(outcome)
    return EXIT_NO if failed else EXIT_OK


def _tell(seed: int, violation: str, story: tuple[str, ...]) -> None:
    click.echo(f"seed {seed}: {violation}; what happened last:", err=True)
    for line in story:
        click.echo(f"  {line}", err=True)
    sys.stderr.flush()


def _summarise(outcome: dict[str, Any]) -> None:
    click.echo(f"{outcome['clean']:,} of {outcome['seeds']:,} seeds clean in {outcome['seconds']:.1f} s")
    for entry in outcome["failed"][:10]:
        click.echo(f"  seed {entry['seed']}: {entry['violation']}")
    told = ", ".join(f"{name} {count:,}" for name, count in outcome["counts"].items())
    click.echo(f"What happened: {told}")
