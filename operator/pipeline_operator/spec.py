"""What a Pipeline asks for: its custom resource's `spec`, typed, with a range and a meaning beside every
field.

Field names in the resource are camel case (`minReplicas`). There are no floats: shares are per mille,
percentiles basis points (9900 is p99), times milliseconds. The CRD's schema is held to these types by a test.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from pipeline_operator import limits

DnsLabel = Annotated[
    str,
    Meta(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=limits.MAX_NAME_CHARS),
]
EventName = Annotated[
    str, Meta(pattern=r"^[A-Z][A-Z0-9_]*$", min_length=1, max_length=limits.MAX_EVENT_CHARS)
]
ReplicaCount = Annotated[int, Meta(ge=1, le=limits.MAX_REPLICAS)]
SlaMs = Annotated[int, Meta(ge=1, le=limits.MAX_SLA_MS)]
PerMille = Annotated[int, Meta(ge=0, le=1000)]
Share = Annotated[int, Meta(ge=100, le=1000)]
HoldMs = Annotated[int, Meta(ge=0, le=3_600_000)]

Mode = Literal["active", "recommend", "paused"]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Base of every part of the spec."""


class LatencySla(Section, frozen=True, kw_only=True):
    """A percentile of one event of this stage that must stay below a limit."""

    event: EventName
    """As telemetry names it, such as AGENT_DECISION."""
    percentile_basis_points: Annotated[
        int, Meta(ge=limits.MIN_PERCENTILE_BASIS_POINTS, le=limits.MAX_PERCENTILE_BASIS_POINTS)
    ] = 9_900
    """Basis points: 9500 is p95."""
    limit_ms: SlaMs


class Slas(Section, frozen=True, kw_only=True):
    """What is wanted of a stage; what is left out is not judged."""

    lag_ms: SlaMs | None = None
    """The oldest message destined for the stage and not done may be so old; not for a stage without upstream,
    which nobody measures."""
    throttle_per_mille: PerMille | None = None
    """Of the messages for this stage, how many may have waited for its credit or been refused for lack of
    capacity. Refusals by risk limits and by a source's rate limit never count."""
    latency: Annotated[tuple[LatencySla, ...], Meta(max_length=limits.MAX_LATENCY_SLAS)] = ()


class StageSpec(Section, frozen=True, kw_only=True):
    """One stage and the StatefulSet that runs it."""

    name: DnsLabel
    """As telemetry names it."""
    target: DnsLabel
    """The StatefulSet, in the namespace of the Pipeline."""
    upstream: Annotated[tuple[DnsLabel, ...], Meta(max_length=limits.MAX_UPSTREAM)] = ()
    """Names of the stages that send to it; empty: it takes its load from outside."""
    min_replicas: ReplicaCount = 1
    max_replicas: ReplicaCount = 1
    """Equal to `minReplicas` for what cannot scale: one gateway, an audit in SQLite."""
    slas: Slas = Slas()


class Tuning(Section, frozen=True, kw_only=True):
    """How the policy behaves; the defaults fit a pipeline whose pods start within half a minute."""

    tick_ms: Annotated[int, Meta(ge=100, le=10_000)] = 250
    """Time between two decisions while nothing is pushed."""
    stale_after_ms: Annotated[int, Meta(ge=500, le=60_000)] = 3_000
    """Signals older than this are stale: they may raise by one step and never lower."""
    raise_min_count: Annotated[int, Meta(ge=1, le=100_000)] = 20
    """Messages within a second below which that second proves nothing."""
    raise_use_per_mille: Share = 950
    """Raise when the load exceeds this share of the learned capacity, to where it does not."""
    lower_use_per_mille: Share = 850
    """Lower only to where the highest load of the last minute stays below this share of the learned
    capacity's lower bound."""
    unlearned_raise_per_mille: Annotated[int, Meta(ge=1001, le=10_000)] = 4_000
    """The most that one raise may multiply replicas by while the capacity of a replica is not known."""
    settling_per_mille: Annotated[int, Meta(ge=0, le=1000)] = 150
    """While pods are starting, a further raise by no more than this share (or one) waits for them."""
    drain_ms: Annotated[int, Meta(ge=1_000, le=600_000)] = 10_000
    """A backlog should be gone this long after the new replicas are there."""
    lower_hold_ms: HoldMs = 30_000
    """Nothing is lowered for so long after a change of the stage."""
    trial_hold_ms: HoldMs = 120_000
    """Time between two trial reductions by one replica while the capacity of a replica is not known. One that
    has to be taken back is not tried again under such a load for a day."""
    start_ms: Annotated[int, Meta(ge=1_000, le=1_800_000)] = 60_000
    """Start time of a pod that is believed until enough have been seen; then the p99 of those seen."""
    learn_min_samples: Annotated[int, Meta(ge=2, le=limits.MAX_SAMPLES)] = 3
    """Saturated seconds before a capacity is believed."""
    blocked_per_mille: Annotated[int, Meta(ge=1, le=1000)] = 200
    """A stage is blocked when its workers spent this share of the window with output and no credit for it."""
    ineffective_after_ms: HoldMs = 10_000
    """When a raise is judged, after its last replica became ready."""
    ineffective_gain_per_mille: Annotated[int, Meta(ge=0, le=1000)] = 100
    """A raise that brought less than this share of the throughput its replicas promised was ineffective."""
    ineffective_hold_ms: HoldMs = 300_000
    """How long an ineffective raise stops further raises of the stage, unless it is lowered meanwhile."""
    contested_hold_ms: HoldMs = 600_000
    """How long a foreign change of the replicas is respected."""


class PipelineSpec(Section, frozen=True, kw_only=True):
    """All that a Pipeline asks for. Stages are known by name; their order means nothing."""

    mode: Mode = "active"
    """`recommend` decides and says so, but writes nothing; `paused` decides nothing."""
    operator: DnsLabel | None = None
    """The operator that is to decide on it, as its `--name` says. Left out: any that watches the
    namespace."""
    stages: Annotated[tuple[StageSpec, ...], Meta(min_length=1, max_length=limits.MAX_STAGES)]
    replica_budget: Annotated[int, Meta(ge=1, le=limits.MAX_BUDGET)] | None = None
    """Replicas of all stages together; shared by need when it does not suffice."""
    tuning: Tuning = Tuning()

    def stage(self, name: str) -> StageSpec:
        """Raises KeyError."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)
