"""What the policy sees of a pipeline on this machine: the supervisor's workers, and its one collector.

In a cluster each pod has a collector that speaks of its own workers; here one speaks of all. So its snapshot
is handed to the policy stage by stage, as if each stage had a collector: nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from pipeline.snapshot import Snapshot
from pipeline.supervisor import StageStaff
from pipeline_operator.merge import Answer, merge
from pipeline_operator.observation import Observation, StageObservation
from pipeline_operator.spec import PipelineSpec


def observe(
    spec: PipelineSpec,
    staff: Mapping[str, StageStaff],
    snapshot: Snapshot | None,
    age_ms: int,
    fault: str,
    now_us: int,
) -> Observation:
    """All stages of `spec` at `now_us`; `fault` says why there is no newer snapshot."""
    names = [stage.name for stage in spec.stages]
    answers = [
        Answer(pod=name, stage=name, age_ms=age_ms, snapshot=_part(snapshot, name), fault=fault)
        for name in names
    ]
    signals = merge(
        spec.stages,
        {name: (name,) for name in names},
        answers,
        stale_after_ms=spec.tuning.stale_after_ms,
        now_us=now_us,
    )
    return Observation(
        stages=tuple(
            StageObservation(
                stage=name,
                replicas=staff[name].workers,
                ready=staff[name].ready,
                starting_ms=tuple(sorted(staff[name].starting_ms)),
                terminating=staff[name].leaving,
                started_ms=staff[name].started_ms,
                fault=staff[name].fault,
                signals=signals[name],
            )
            for name in names
        )
    )


def _part(snapshot: Snapshot | None, stage: str) -> Snapshot | None:
    if snapshot is None:
        return None
    return replace(
        snapshot,
        stages=tuple(_of(snapshot.stages, stage)),
        replicas=tuple(_of(snapshot.replicas, stage)),
        latencies=(),
        totals=(),
    )


def _of(parts: Sequence, stage: str) -> list:  # type: ignore[type-arg]
    return [part for part in parts if part.stage == stage]
