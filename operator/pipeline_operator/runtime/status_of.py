"""The status of a Pipeline, from the record of a decision and from what the status said before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pipeline_operator import limits
from pipeline_operator.kube.times import text_of
from pipeline_operator.observation import SlaVerdict
from pipeline_operator.record import Condition, ConditionType, Record, SlaState, StageResult
from pipeline_operator.status import (
    Decision,
    PipelineStatus,
    SlaStatus,
    StageStatus,
    StatusCondition,
)


def read_status(raw: Mapping[str, Any]) -> PipelineStatus:
    """What a former operator wrote; an empty one when it cannot be read."""
    try:
        return msgspec.convert(raw, PipelineStatus)
    except msgspec.ValidationError:
        return PipelineStatus()


def as_patch(status: PipelineStatus, *, with_memory: bool) -> dict[str, Any]:
    """A merge patch of the status subresource."""
    body = _without_none(msgspec.to_builtins(status))
    if not with_memory:
        del body["memory"]
    return {"status": body}


def conditions_of(
    told: Iterable[Condition], before: Iterable[StatusCondition], generation: int, now_us: int
) -> tuple[StatusCondition, ...]:
    """Every condition; one whose status is as before keeps its time."""
    old = {condition.type: condition for condition in before}
    new = {condition.type: condition for condition in told}
    found = []
    for kind in ConditionType:
        condition = new.get(kind) or unknown(kind, "Undecided", "nothing was decided yet")
        same = kind in old and old[kind].status == condition.status
        found.append(
            StatusCondition(
                type=kind,
                status=condition.status,  # type: ignore[arg-type]  # True, False or Unknown
                observed_generation=generation,
                last_transition_time=old[kind].last_transition_time if same else text_of(now_us),
                reason=condition.reason,
                message=cut(condition.message),
            )
        )
    return tuple(found)


def unknown(kind: ConditionType, reason: str, message: str) -> Condition:
    return Condition(type=kind, status="Unknown", reason=reason, message=message)


def undecided_status(
    before: PipelineStatus, generation: int, reason: str, message: str, now_us: int
) -> PipelineStatus:
    """Of a Pipeline that is not decided on: Ready says why, the others are unknown."""
    told = [unknown(kind, reason, message) for kind in ConditionType if kind != ConditionType.READY]
    ready = Condition(type=ConditionType.READY, status="False", reason=reason, message=message)
    return msgspec.structs.replace(
        before,
        observed_generation=generation,
        conditions=conditions_of([ready, *told], before.conditions, generation, now_us),
    )


def status_of(
    record: Record,
    before: PipelineStatus,
    *,
    generation: int,
    lease_transitions: int,
    memory: str,
    decision: Decision | None,
) -> PipelineStatus:
    """After a decision; `decision` when it is one to be told."""
    decisions = before.decisions
    if decision is not None:
        decisions = (decision, *decisions)[: limits.MAX_STATUS_DECISIONS]
    versions = {stage.stage: stage.version for stage in record.inputs.observation.stages}
    return PipelineStatus(
        observed_generation=generation,
        conditions=conditions_of(record.conditions, before.conditions, generation, record.at_us),
        stages=tuple(_stage(result, versions[result.stage]) for result in record.stages),
        stage_count=len(record.stages),
        replicas=sum(result.before for result in record.stages),
        worst_sla=worst_sla(record.stages),
        last_decision=decisions[0].sentence if decisions else "",
        last_decision_time=decisions[0].at if decisions else None,
        decisions=decisions,
        lease_transitions=lease_transitions,
        memory=memory,
    )


def worst_sla(stages: Iterable[StageResult]) -> str:
    """The SLA furthest above its limit, or nearest to it: `agent lag 1200 of 500 ms, violated`."""
    found = [(stage.stage, sla) for stage in stages for sla in stage.slas if sla.value is not None]
    if not found:
        return ""
    stage, sla = max(found, key=lambda pair: (pair[1].verdict == SlaVerdict.VIOLATED, _share(pair[1])))
    return f"{stage} {sla.name} {sla.value} of {sla.limit} {sla.unit}, {sla.verdict}"


def _share(sla: SlaState) -> float:
    return (sla.value or 0) / max(1, sla.limit)


def _stage(result: StageResult, version: str) -> StageStatus:
    return StageStatus(
        name=result.stage,
        target=result.target,
        replicas=result.before,
        version=version,
        ready=result.ready,
        wanted=result.after,
        capacity_milli=result.capacity_milli,
        slas=tuple(
            SlaStatus(name=sla.name, verdict=sla.verdict, value=sla.value, limit=sla.limit, unit=sla.unit)
            for sla in result.slas
        ),
        sentence=cut(result.sentence),
    )


def cut(text: str) -> str:
    """As long as a status may hold."""
    return (
        text if len(text) <= limits.MAX_STATUS_TEXT_CHARS else text[: limits.MAX_STATUS_TEXT_CHARS - 1] + "…"
    )


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, list | tuple) else value
