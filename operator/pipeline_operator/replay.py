"""Decides recorded decisions again, each from its own inputs, and says where the decision differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from pipeline_operator.errors import RecordError
from pipeline_operator.policy import decide
from pipeline_operator.record import Record, decode_record
from pipeline_operator.spec import PipelineSpec

SCHEMA_VERSION = 1


class Difference(Struct, frozen=True, kw_only=True):
    """One stage of one record that is decided otherwise; None where it was not decided on."""

    line: int
    at_us: int
    stage: str
    recorded: int | None
    again: int | None
    recorded_why: str
    again_why: str


class Replayed(Struct, frozen=True, kw_only=True):
    """The whole file. `same` is whether no decision differs; without changed settings anything else is a bug,
    or another version of the policy."""

    schema: int = SCHEMA_VERSION
    records: int
    differing: int
    same: bool
    differences: tuple[Difference, ...]


def replay(lines: Iterable[bytes], change: Callable[[PipelineSpec], PipelineSpec] | None = None) -> Replayed:
    """`change` makes the spec to decide under from the recorded one. Raises RecordError naming the line."""
    records = differing = 0
    found: list[Difference] = []
    for number, record in _records(lines):
        records += 1
        inputs = record.inputs
        spec = inputs.spec if change is None else change(inputs.spec)
        _, again = decide(spec, inputs.observation, inputs.memory, record.at_us)
        differences = list(_differences(number, record, again))
        differing += bool(differences)
        found += differences
    return Replayed(records=records, differing=differing, same=not found, differences=tuple(found))


def _records(lines: Iterable[bytes]) -> Iterator[tuple[int, Record]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield number, decode_record(line)
        except RecordError as error:
            raise RecordError(f"line {number}: {error}") from None


def _differences(line: int, record: Record, again: Record) -> Iterator[Difference]:
    before = {result.stage: result for result in record.stages}
    after = {result.stage: result for result in again.stages}
    for stage in sorted(before.keys() | after.keys()):
        old, new = before.get(stage), after.get(stage)
        if (old and old.after) != (new and new.after):
            yield Difference(
                line=line,
                at_us=record.at_us,
                stage=stage,
                recorded=old.after if old else None,
                again=new.after if new else None,
                recorded_why=old.sentence if old else "",
                again_why=new.sentence if new else "",
            )
