"""The decision record: what was seen, what each SLA proposed, what each limiter made of it, and why, in
words.

One JSON line each. A record carries its inputs whole, so `ringline-operator replay` can decide it again.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import Struct

from pipeline_operator.errors import RecordError
from pipeline_operator.memory import Memory
from pipeline_operator.observation import Observation, SlaVerdict
from pipeline_operator.spec import PipelineSpec

SCHEMA_VERSION = 2
LOCAL_PIPELINE = "local"
"""What `ringline up --autoscale` calls the one pipeline of its machine in records."""
OLDEST_SCHEMA = 1
"""Still read: it names no Pipeline."""


class ConditionType(StrEnum):
    """The conditions of a Pipeline that the policy sets."""

    READY = "Ready"
    SCALING_ACTIVE = "ScalingActive"
    AT_CAPACITY = "AtCapacity"
    BOTTLENECK_ELSEWHERE = "BottleneckElsewhere"
    CONTESTED = "Contested"
    PODS_STUCK = "PodsStuck"
    SIGNALS_STALE = "SignalsStale"


class Condition(Struct, frozen=True, kw_only=True):
    """A condition without its times, which status keeps. `status` is True, False or Unknown."""

    type: ConditionType
    status: str
    reason: str
    message: str


class SlaState(Struct, frozen=True, kw_only=True):
    """One SLA at this tick. `name` is `lag`, `throttle` or `latency EVENT p99`; `value` and `limit` in
    `unit`."""

    name: str
    verdict: SlaVerdict
    value: int | None
    limit: int
    unit: str


class Proposal(Struct, frozen=True, kw_only=True):
    """What one SLA, or the flow from upstream, wants: so many replicas, and why."""

    name: str
    replicas: int
    why: str


class Effect(Struct, frozen=True, kw_only=True):
    """What one limiter did to the wish; only limiters that changed it are listed."""

    limiter: str
    before: int
    after: int
    why: str


class StageResult(Struct, frozen=True, kw_only=True):
    """The decision on one stage. `before` is `spec.replicas` as seen, `wanted` the highest proposal,
    `after` the decision. Rates are in thousandths of a message a second; a capacity is one replica's.
    """

    stage: str
    target: str
    before: int
    ready: int
    counted: int
    """Replicas counted as capacity: ready ones and those starting in time."""
    wanted: int
    after: int
    demand_milli: int
    capacity_milli: int | None = None
    capacity_low_milli: int | None = None
    slas: tuple[SlaState, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    effects: tuple[Effect, ...] = ()
    sentence: str = ""


class Write(Struct, frozen=True, kw_only=True):
    """A patch of one `/scale`."""

    stage: str
    target: str
    before: int
    replicas: int


class Inputs(Struct, frozen=True, kw_only=True):
    """All that the decision depends on, with `at_us`."""

    spec: PipelineSpec
    observation: Observation
    memory: Memory


class Record(Struct, frozen=True, kw_only=True):
    """One decision on all stages. `writes` are to be patched now, upstream first; empty unless the mode is
    `active`. `sentence` is for people. `namespace` and `pipeline` name what it is about: the policy knows
    neither, who keeps the record does."""

    schema: int = SCHEMA_VERSION
    namespace: str = ""
    """Empty on one machine."""
    pipeline: str = ""
    at_us: int
    mode: str
    sentence: str
    stages: tuple[StageResult, ...]
    writes: tuple[Write, ...]
    conditions: tuple[Condition, ...]
    inputs: Inputs

    def condition(self, kind: ConditionType) -> Condition:
        """The condition of this type; every record has all of them."""
        return next(condition for condition in self.conditions if condition.type == kind)

    def stage(self, name: str) -> StageResult:
        """Raises KeyError."""
        for result in self.stages:
            if result.stage == name:
                return result
        raise KeyError(name)


def named(record: Record, namespace: str, pipeline: str) -> Record:
    """The record of this Pipeline."""
    return msgspec.structs.replace(record, namespace=namespace, pipeline=pipeline)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """One line with its newline."""
    return _encoder.encode(record) + b"\n"


def decode_record(line: bytes) -> Record:
    """Raises RecordError when the line is no record of a schema version that is known."""
    try:
        record = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"no decision record: {error}") from None
    if not OLDEST_SCHEMA <= record.schema <= SCHEMA_VERSION:
        expected = f"{OLDEST_SCHEMA} to {SCHEMA_VERSION}"
        raise RecordError(f"decision record of schema {record.schema}: expected {expected}")
    return record
