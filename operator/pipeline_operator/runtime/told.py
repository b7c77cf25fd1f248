"""What was decided on one Pipeline, as the operator's HTTP tells it: the last word, and the last changes."""

from __future__ import annotations

from msgspec import Struct

from pipeline_operator.record import Record
from pipeline_operator.status import Decision, PipelineStatus

WARNED_OF = {
    "Ready": "False",
    "ScalingActive": "False",
    "Contested": "True",
    "PodsStuck": "True",
    "SignalsStale": "True",
    "AtCapacity": "True",
    "BottleneckElsewhere": "True",
}
"""The status of a condition that is worth a word."""


class Told(Struct, frozen=True, kw_only=True):
    """Versioned by addition: a field is only ever added, with a default."""

    at: str
    """UTC, of the last decision, also of one that changed nothing."""
    mode: str
    sentence: str
    conditions: dict[str, str]
    """Of those that are worth a word, the message by type."""
    decisions: tuple[Decision, ...]
    """That changed replicas, or would have; the last one first."""


def told_of(status: PipelineStatus, record: Record, at: str) -> Told:
    return Told(
        at=at,
        mode=record.mode,
        sentence=record.sentence,
        conditions={
            one.type: one.message for one in status.conditions if WARNED_OF.get(one.type) == one.status
        },
        decisions=status.decisions,
    )
