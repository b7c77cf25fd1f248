"""What the operator writes into a Pipeline's `status`, typed; its schema in the CRD is made from this."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from pipeline_operator import limits
from pipeline_operator.observation import SlaVerdict
from pipeline_operator.record import ConditionType

Text = Annotated[str, Meta(max_length=limits.MAX_STATUS_TEXT_CHARS)]
Name = Annotated[str, Meta(max_length=253)]
TimeText = Annotated[str, Meta(max_length=32)]
Count = Annotated[int, Meta(ge=0)]


class Part(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """Base of every part of the status."""


class StatusCondition(Part, frozen=True, kw_only=True):
    """One of the standard conditions: what is so, since when, and why."""

    type: ConditionType
    status: Literal["True", "False", "Unknown"]
    observed_generation: Count = 0
    last_transition_time: TimeText
    reason: Annotated[
        str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    ]
    message: Text = ""


class SlaStatus(Part, frozen=True, kw_only=True):
    """One SLA as last judged."""

    name: Name
    """`lag`, `throttle`, or `latency EVENT p99`."""
    verdict: SlaVerdict
    value: int | None = None
    limit: int
    unit: Annotated[str, Meta(max_length=16)]


class StageStatus(Part, frozen=True, kw_only=True):
    """One stage as last seen and decided on."""

    name: Name
    target: Name
    replicas: Count
    """What the StatefulSet asked for when it was seen, or what was written since."""
    version: Annotated[str, Meta(max_length=32)] = ""
    """The StatefulSet's resourceVersion when it was seen."""
    ready: Count = 0
    wanted: Count
    """The decision; other than `replicas` while it recommends only, waits or cannot."""
    capacity_milli: Count | None = None
    """What one replica handles when it is saturated, in thousandths of a message a second; learned."""
    slas: Annotated[tuple[SlaStatus, ...], Meta(max_length=limits.MAX_LATENCY_SLAS + 2)] = ()
    sentence: Text = ""


class Decision(Part, frozen=True, kw_only=True):
    """A decision that changed, or would have changed, replicas."""

    at: TimeText
    """UTC."""
    sentence: Text


class PipelineStatus(Part, frozen=True, kw_only=True):
    """What the operator saw and did last. Nobody else writes here."""

    observed_generation: Count = 0
    conditions: Annotated[tuple[StatusCondition, ...], Meta(max_length=len(ConditionType))] = ()
    stages: Annotated[tuple[StageStatus, ...], Meta(max_length=limits.MAX_STAGES)] = ()
    stage_count: Count = 0
    replicas: Count = 0
    """Of all stages together."""
    worst_sla: Text = ""
    """The SLA that is nearest to, or furthest above, its limit, in words."""
    last_decision: Text = ""
    last_decision_time: TimeText | None = None
    decisions: Annotated[tuple[Decision, ...], Meta(max_length=limits.MAX_STATUS_DECISIONS)] = ()
    """The last ones, newest first."""
    lease_transitions: Count = 0
    """Of the Lease under which this was written: a higher one is a newer operator."""
    memory: Annotated[str, Meta(max_length=limits.MAX_MEMORY_CHARS)] = ""
    """What the policy has learned, so that a restarted operator goes on where it was. Not for people."""
