"""`ringline-operator replay`: recorded decisions again, also under other settings."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from pipeline.errors import EXIT_NO, EXIT_OK, MissingError, UsageError
from pipeline_operator.words import counted

if TYPE_CHECKING:
    from pipeline_operator.replay import Difference, Replayed
    from pipeline_operator.spec import PipelineSpec

SHOWN = 20
"""Differences of a Pipeline that people are shown; --json has all."""


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
@click.option(
    "--pipeline",
    "only",
    multiple=True,
    metavar="[NAMESPACE/]NAME",
    help="Only records of this Pipeline. Repeatable. Default: all in the file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(
    file: Path, assignments: tuple[str, ...], spec_file: Path | None, only: tuple[str, ...], as_json: bool
) -> int:
    """Decide recorded decisions again, also under other settings.

    FILE has one decision record a line, as the operator logs them, of one Pipeline or of many; other lines
    are counted and passed over, so a container's whole log will do. Each record is decided from its own
    inputs: signals, memory and moment as they were, the spec as recorded or as changed here. What a changed
    decision would have led to is not known; `simulate` can tell. Exit code 1 when a decision differs.

    \b
    Example:
      ringline-operator replay decisions.jsonl
      ringline-operator replay decisions.jsonl --set tuning.raiseUsePerMille=800 --json
      kubectl logs deploy/rl-ringline-operator > log
      ringline-operator replay log --pipeline trading/rl-ringline
    """
    from pipeline_operator.errors import RecordError
    from pipeline_operator.replay import replay
    from pipeline_operator.tuning import with_settings

    other = _spec(spec_file) if spec_file is not None else None
    replaced: set[str] = set()

    def change(name: str, spec: PipelineSpec) -> PipelineSpec:
        replaced.add(name)
        if other is not None and len(replaced) > 1:
            names = " and ".join(sorted(replaced))
            raise UsageError(f"--spec {spec_file}: is one Pipeline's, records are of {names}; add --pipeline")
        return with_settings(other or spec, assignments)

    try:
        with open(file, "rb") as stream:
            result = replay(stream, change if other or assignments else None, only)
    except OSError as error:
        raise MissingError(f"records {file}: cannot be read: {error.strerror}") from None
    except RecordError as error:
        raise RecordError(f"records {file}: {error}") from None
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(result), indent=2))
    else:
        _show(result)
    return EXIT_OK if result.same else EXIT_NO


def _show(result: Replayed) -> None:
    for one in result.pipelines:
        click.echo(
            f"{one.pipeline}: {counted(one.records, 'decision')}, {one.differing} {_differ(one.differing)}"
        )
        rows = [("stage", "differing", "recorded", "now")]
        rows += [
            (stage.stage, str(stage.differing), _range(stage.recorded), _range(stage.again))
            for stage in one.stages
        ]
        for row in rows:
            click.echo(f"  {row[0]:20} {row[1]:>9} {row[2]:>10} {row[3]:>10}")
        for difference in one.differences[:SHOWN]:
            _show_difference(difference)
        if len(one.differences) > SHOWN:
            click.echo(f"  … and {len(one.differences) - SHOWN} more; --json has all")
        click.echo()
    for name, why in result.unfit.items():
        click.echo(f"{name}: left out, the changed settings do not fit it: {why}")
    if result.other_lines:
        first = result.other_examples[0]
        are = "is no record" if result.other_lines == 1 else "are no records"
        click.echo(f"{counted(result.other_lines, 'line')} {are}; line {first.line}: {first.why}")
    if result.torn_line is not None:
        click.echo(
            f"line {result.torn_line}, the last one, is torn: its record is not complete and was left out"
        )
    click.echo(f"{counted(result.records, 'decision')}, {result.differing} {_differ(result.differing)}")


def _show_difference(difference: Difference) -> None:
    at = datetime.fromtimestamp(difference.at_us / 1e6, UTC).isoformat(timespec="milliseconds")
    click.echo(
        f"  line {difference.line}, {at}, {difference.stage}: "
        f"{_count(difference.recorded)} recorded, {_count(difference.again)} now"
    )
    click.echo(f"    recorded: {difference.recorded_why}")
    click.echo(f"    now:      {difference.again_why}")


def _differ(count: int) -> str:
    return "differs" if count == 1 else "differ"


def _range(replicas: tuple[int, int] | None) -> str:
    """The least and the most replicas."""
    if replicas is None:
        return "–"
    least, most = replicas
    return str(least) if least == most else f"{least} to {most}"


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
