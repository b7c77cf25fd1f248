"""Checks a custom resource into a PipelineSpec: every fault at once, by field path, value and limit."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

import msgspec
from msgspec import Meta, Struct

from pipeline_operator.errors import SpecError
from pipeline_operator.flow import FlowError, flow_order
from pipeline_operator.spec import PipelineSpec, Section, StageSpec

_SHOWN_CHARS = 60


def parse_spec(body: Mapping[str, Any]) -> PipelineSpec:
    """The spec of a whole object (`apiVersion`, `kind`, `metadata`, `spec`). Raises SpecError with every
    fault."""
    raw = body.get("spec")
    faults = list(_faults(PipelineSpec, raw, "spec")) if raw is not None else ["spec: missing"]
    if faults:
        raise SpecError(faults)
    spec = msgspec.convert(raw, PipelineSpec)
    crossed = list(cross_faults(spec))
    if crossed:
        raise SpecError(crossed)
    return spec


def spec_to_body(spec: PipelineSpec) -> dict[str, Any]:
    """The object that `parse_spec` reads as `spec`, for examples, tests and the simulation."""
    return {"spec": msgspec.to_builtins(spec)}


def cross_faults(spec: PipelineSpec) -> Iterator[str]:
    """What is wrong between fields, one line each."""
    names = [stage.name for stage in spec.stages]
    targets = [stage.target for stage in spec.stages]
    for index, stage in enumerate(spec.stages):
        path = f"spec.stages[{stage.name}]"
        if names.index(stage.name) != index:
            yield f"{path}.name = '{stage.name}': used twice; names of stages are unique"
        if (first := targets.index(stage.target)) != index:
            yield (
                f"{path}.target = '{stage.target}': also the target of {names[first]}; "
                "a StatefulSet runs one stage"
            )
        yield from _stage_faults(stage, path, names)
    yield from _budget_faults(spec)
    if len(set(names)) == len(names):
        try:
            flow_order(spec.stages)
        except FlowError as error:
            yield f"spec.stages: {error}"


def _stage_faults(stage: StageSpec, path: str, names: list[str]) -> Iterator[str]:
    if stage.min_replicas > stage.max_replicas:
        yield f"{path}.minReplicas = {stage.min_replicas}: at most maxReplicas ({stage.max_replicas})"
    for index, name in enumerate(stage.upstream):
        if name not in names:
            yield f"{path}.upstream = '{name}': not a stage here; expected one of {', '.join(sorted(names))}"
        if name in stage.upstream[:index]:
            yield f"{path}.upstream = '{name}': named twice"
    if stage.slas.lag_ms is not None and not stage.upstream:
        yield (
            f"{path}.slas.lagMs = {stage.slas.lag_ms}: a stage without upstream has no lag, "
            "which its senders measure; leave it out"
        )
    judged = [(sla.event, sla.percentile_basis_points) for sla in stage.slas.latency]
    for index, pair in enumerate(judged):
        if pair in judged[:index]:
            yield f"{path}.slas.latency[{index}] = {pair[0]} at {pair[1]}: given twice"


def _budget_faults(spec: PipelineSpec) -> Iterator[str]:
    least = sum(stage.min_replicas for stage in spec.stages)
    if spec.replica_budget is not None and spec.replica_budget < least:
        yield f"spec.replicaBudget = {spec.replica_budget}: at least the sum of all minReplicas ({least})"
    tuning = spec.tuning
    if tuning.lower_use_per_mille > tuning.raise_use_per_mille:
        yield (
            f"spec.tuning.lowerUsePerMille = {tuning.lower_use_per_mille}: at most raiseUsePerMille "
            f"({tuning.raise_use_per_mille}), or what is lowered is raised again"
        )


def _faults(kind: type[Section], value: Any, path: str) -> Iterator[str]:
    """Faults of single fields, each found although others are there."""
    if not isinstance(value, Mapping):
        yield f"{path} = {_shown(value)}: expected an object"
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    hints = typing.get_type_hints(kind, include_extras=True)
    for name in value:
        if name not in fields:
            yield f"{path}.{name}: unknown field; here are {', '.join(sorted(fields))}"
    for name, field in fields.items():
        if name in value:
            yield from _value_faults(hints[field.name], value[name], f"{path}.{name}")
        elif field.required:
            yield f"{path}.{name}: missing"


def _value_faults(kind: Any, value: Any, path: str) -> Iterator[str]:
    inner = _item_kind(kind)
    if _is_struct(kind):
        yield from _faults(kind, value, path)
    elif _is_struct(inner) and isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _faults(inner, item, f"{path}[{_label(item, index)}]")
        yield from _length_faults(kind, value, path)
    else:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            text = str(error).split(" - at `$")[0]
            yield f"{path} = {_shown(value)}: {text[0].lower()}{text[1:]}{_range(kind)}"


def _length_faults(kind: Any, value: Any, path: str) -> Iterator[str]:
    for note in getattr(kind, "__metadata__", ()):
        least, most = note.min_length or 0, note.max_length
        if not least <= len(value) <= most:
            yield f"{path}: {len(value)} given, allowed: {least} to {most}"


def _label(item: Any, index: int) -> str:
    """Items are known by name where they have a sound one."""
    name = item.get("name") if isinstance(item, Mapping) else None
    return name if isinstance(name, str) and name.isprintable() and 0 < len(name) <= 63 else str(index)


def _item_kind(kind: Any) -> Any:
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    return typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else None


def _is_struct(kind: Any) -> TypeGuard[type[Section]]:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _range(kind: Any) -> str:
    """The allowed range of a number, from its annotation; the error names one side only."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return next((found for part in typing.get_args(kind) if (found := _range(part))), "")
    for note in getattr(kind, "__metadata__", ()):
        if isinstance(note, Meta) and note.ge is not None and note.le is not None:
            return f" (allowed: {note.ge} to {note.le})"
    return ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
