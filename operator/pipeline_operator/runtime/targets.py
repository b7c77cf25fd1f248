"""Which targets of a Pipeline may be scaled, and why not the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from pipeline_operator.observation import FaultReason
from pipeline_operator.runtime.seen import SeenPipeline
from pipeline_operator.runtime.world import World
from pipeline_operator.spec import PipelineSpec

Claims = Mapping[tuple[str, str], SeenPipeline]
"""(namespace, StatefulSet) → the oldest Pipeline that wants it."""


class Fault(NamedTuple):
    """Why a target cannot be scaled; `text` is a sentence."""

    reason: FaultReason
    text: str


def claims_of(
    pipelines: Mapping[tuple[str, str], SeenPipeline], spec_of: Callable[[SeenPipeline], PipelineSpec | None]
) -> Claims:
    """Who has which target: of several Pipelines the oldest, so that a new one disturbs nothing."""
    claims: dict[tuple[str, str], SeenPipeline] = {}
    for pipeline in sorted(pipelines.values(), key=lambda one: one.age_order):
        spec = spec_of(pipeline)
        for stage in spec.stages if spec is not None else ():
            claims.setdefault((pipeline.namespace, stage.target), pipeline)
    return claims


def faults_of(pipeline: SeenPipeline, spec: PipelineSpec, world: World, claims: Claims) -> dict[str, Fault]:
    """Stage → why its target cannot be scaled; stages that can be scaled are not in it."""
    found = {}
    for stage in spec.stages:
        holder = claims.get((pipeline.namespace, stage.target))
        target = world.sets.get(pipeline.namespace, stage.target)
        if holder is not None and holder.uid != pipeline.uid:
            found[stage.name] = Fault(
                FaultReason.TAKEN,
                f"StatefulSet {stage.target} belongs to Pipeline {holder.name}, which is older; "
                "a StatefulSet is scaled by one Pipeline",
            )
        elif target is None or target.deleting:
            found[stage.name] = Fault(
                FaultReason.MISSING,
                f"StatefulSet {stage.target} does not exist in namespace {pipeline.namespace}",
            )
        elif (autoscaler := world.autoscaler_of(target)) is not None:
            found[stage.name] = Fault(
                FaultReason.AUTOSCALED,
                f"StatefulSet {stage.target} is scaled by HorizontalPodAutoscaler {autoscaler.name}; "
                "delete one of the two",
            )
    return found
