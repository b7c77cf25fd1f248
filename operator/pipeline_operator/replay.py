"""Decides recorded decisions again, each from its own inputs, and says where the decision differs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from msgspec import Struct

from pipeline_operator.errors import RecordError, SpecError
from pipeline_operator.policy import decide
from pipeline_operator.record import Record
from pipeline_operator.record_lines import OtherLine, RecordLines
from pipeline_operator.spec import PipelineSpec
from pipeline_operator.words import counted

SCHEMA_VERSION = 2
UNNAMED = "(unnamed)"
"""Of records that an older operator wrote, which name no Pipeline."""


class Difference(Struct, frozen=True, kw_only=True):
    """One stage of one record that is decided otherwise; None where it was not decided on."""

    line: int
    at_us: int
    stage: str
    recorded: int | None
    again: int | None
    recorded_why: str
    again_why: str


class StageReplay(Struct, frozen=True, kw_only=True):
    """One stage over all records of its Pipeline: the least and the most replicas, as recorded and now; None
    where it was never decided on."""

    stage: str
    differing: int
    recorded: tuple[int, int] | None
    again: tuple[int, int] | None


class PipelineReplay(Struct, frozen=True, kw_only=True):
    """One Pipeline."""

    pipeline: str
    """NAMESPACE/NAME."""
    records: int
    differing: int
    stages: tuple[StageReplay, ...]
    differences: tuple[Difference, ...]


class Replayed(Struct, frozen=True, kw_only=True):
    """The whole file. `same` is whether no decision differs; without changed settings anything else is a bug,
    or another version of the policy."""

    schema: int = SCHEMA_VERSION
    records: int
    differing: int
    same: bool
    pipelines: tuple[PipelineReplay, ...]
    unfit: Mapping[str, str]
    """Pipelines that the changed settings do not fit, and why; their records are not counted."""
    other_lines: int
    """Lines that are no records."""
    other_examples: tuple[OtherLine, ...]
    torn_line: int | None
    """The last line, when it ends in the middle of a record."""


Change = Callable[[str, PipelineSpec], PipelineSpec]


def replay(lines: Iterable[bytes], change: Change | None = None, only: Collection[str] = ()) -> Replayed:
    """`change` makes the spec to decide under from a Pipeline's name and its recorded spec; `only` these
    Pipelines, as NAME or NAMESPACE/NAME.

    Raises RecordError when there is no record, or none of a Pipeline that was asked for, and SpecError when
    the changed settings fit no Pipeline.
    """
    source = RecordLines(lines)
    found: dict[str, _Tally] = {}
    names: set[str] = set()
    unfit: dict[str, str] = {}
    for number, record in source:
        name = name_of(record)
        names.add(name)
        if name in unfit or (only and not _is_among(record, only)):
            continue
        try:
            spec = record.inputs.spec if change is None else change(name, record.inputs.spec)
        except SpecError as error:
            unfit[name] = str(error)
            continue
        _, again = decide(spec, record.inputs.observation, record.inputs.memory, record.at_us)
        found.setdefault(name, _Tally()).note(number, record, again)
    _check(source, names, only, found.keys() | unfit.keys())
    if unfit and not found:
        raise SpecError(list(dict.fromkeys(unfit.values())))
    told = tuple(found[name].told(name) for name in sorted(found))
    return Replayed(
        records=sum(one.records for one in told),
        differing=sum(one.differing for one in told),
        same=not any(one.differing for one in told),
        pipelines=told,
        unfit=unfit,
        other_lines=source.others,
        other_examples=source.examples,
        torn_line=source.torn,
    )


def name_of(record: Record) -> str:
    """NAMESPACE/NAME, or the name alone on one machine."""
    return "/".join(part for part in (record.namespace, record.pipeline) if part) or UNNAMED


def _is_among(record: Record, only: Collection[str]) -> bool:
    return name_of(record) in only or record.pipeline in only


def _check(source: RecordLines, names: Collection[str], only: Collection[str], used: Collection[str]) -> None:
    if not names:
        why = "it is empty"
        if source.torn is not None:
            why = f"line {source.torn} is torn"
        if source.examples:
            first = source.examples[0]
            why = f"none of {counted(source.read, 'line')} is one; line {first.line}: {first.why}"
        raise RecordError(f"no decision record: {why}")
    for asked in only:
        if not any(asked in (name, name.rpartition("/")[2]) for name in used):
            raise RecordError(f"no record of Pipeline {asked}; there are some of {', '.join(sorted(names))}")


class _Tally:
    """What is found of one Pipeline."""

    def __init__(self) -> None:
        self._records = self._differing = 0
        self._differences: list[Difference] = []
        self._recorded: dict[str, tuple[int, int]] = {}
        self._again: dict[str, tuple[int, int]] = {}

    def note(self, line: int, record: Record, again: Record) -> None:
        self._records += 1
        differences = list(_differences(line, record, again))
        self._differing += bool(differences)
        self._differences += differences
        for decided, ranges in ((record, self._recorded), (again, self._again)):
            for result in decided.stages:
                least, most = ranges.get(result.stage, (result.after, result.after))
                ranges[result.stage] = min(least, result.after), max(most, result.after)

    def told(self, name: str) -> PipelineReplay:
        stages = tuple(
            StageReplay(
                stage=stage,
                differing=sum(one.stage == stage for one in self._differences),
                recorded=self._recorded.get(stage),
                again=self._again.get(stage),
            )
            for stage in dict.fromkeys((*self._recorded, *self._again))
        )
        return PipelineReplay(
            pipeline=name,
            records=self._records,
            differing=self._differing,
            stages=stages,
            differences=tuple(self._differences),
        )


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
