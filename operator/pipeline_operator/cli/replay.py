"""`ringline-operator replay`: recorded decisions again, also under other settings."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from pipeline.errors import EXIT_NO, EXIT_OK, MissingError, UsageError

if TYPE_CHECKING:
    from pipeline_operator.spec import PipelineSpec

SHOWN = 20
"""Differences that people are shown; --json has all."""


@click.command("replay")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one field of the recorded spec, such as stages.agent.maxReplicas=20. Repeatable.",
)
@click.option(
    "--spec", "spec_file", type=click.Path(path_type=Path), help="Decide under this Pipeline (JSON) instead."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(file: Path, assignments: tuple[str, ...], spec_file: Path | None, as_json: bool) -> int:
    """Decide recorded decisions again, also under other settings.

    FILE has one decision record a line, as the operator logs them. Each is decided from its own inputs:
    signals, memory and moment as they were, the spec as recorded or as changed here. What a changed
    decision would have led to is not known; `simulate` can tell. Exit code 1 when a decision differs.

    \b
    Example:
      ringline-operator replay decisions.jsonl
      ringline-operator replay decisions.jsonl --set tuning.raiseUsePerMille=800 --json
    """
    from pipeline_operator.replay import replay
    from pipeline_operator.tuning import with_settings

    other = _spec(spec_file) if spec_file is not None else None

    def change(spec: PipelineSpec) -> PipelineSpec:
        return with_settings(other or spec, assignments)

    try:
        with open(file, "rb") as stream:
            result = replay(stream, change if other or assignments else None)
    except OSError as error:
        raise MissingError(f"records {file}: cannot be read: {error.strerror}") from None
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(result), indent=2))
        return EXIT_OK if result.same else EXIT_NO
    for difference in result.differences[:SHOWN]:
        at = datetime.fromtimestamp(difference.at_us / 1e6, UTC).isoformat(timespec="milliseconds")
        click.echo(f"line {difference.line}, {at}, {difference.stage}: "
                   f"{_count(difference.recorded)} recorded, {_count(difference.again)} now")  # fmt: skip
        click.echo(f"  recorded: {difference.recorded_why}\n  now:      {difference.again_why}")
    if len(result.differences) > SHOWN:
        click.echo(f"… and {len(result.differences) - SHOWN} more; --json has all")
    click.echo(f"{result.records} decisions, {result.differing} differ")
    return EXIT_OK if result.same else EXIT_NO


def _count(replicas: int | None) -> str:
    return "nothing" if replicas is None else str(replicas)


def _spec(file: Path) -> PipelineSpec:
    from pipeline_operator.parse_spec import parse_spec

    try:
        body: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise MissingError(f"--spec {file}: cannot be read: {error}") from None
    except ValueError as error:
        raise UsageError(f"--spec {file}: no JSON: {error}") from None
    if not isinstance(body, dict):
        raise UsageError(f"--spec {file}: expected an object with `spec`, as kubectl get -o json prints it")
    return parse_spec(body)
