"""Our policy in the simulation: the very `decide` of the operator, fed with what collectors would report."""

from __future__ import annotations

from pipeline_operator.memory import Memory
from pipeline_operator.observation import (
    WINDOWS_MS,
    Observation,
    Sources,
    StageObservation,
    StageSignals,
    WindowCounts,
)
from pipeline_operator.policy import decide
from pipeline_operator.record import Record
from pipeline_operator.simulation.autoscaler import due
from pipeline_operator.simulation.plant import STEP_S, Plant, PlantStage
from pipeline_operator.spec import PipelineSpec, Slas, StageSpec, Tuning

TICK_S = 0.5
START_US = 1_700_000_000_000_000
"""The simulation's first moment: any will do, as long as it is not 0, which means never."""


class Ours:
    """Collectors push, so a tick sees the last step; reports are 250 ms old at most, as real ones."""

    def __init__(self, spec: PipelineSpec, name: str = "ringline") -> None:
        self.name = name
        self.spec = spec
        self.memory = Memory()
        self.records: list[Record] = []
        """Decisions that changed something."""
        self._started: dict[str, list[int]] = {}

    def wishes(self, plant: Plant) -> dict[str, int]:
        for stage in plant.stages:
            if stage.started_s:
                self._started.setdefault(stage.model.name, []).extend(int(s * 1000) for s in stage.started_s)
        if not due(plant.now_s, TICK_S, STEP_S):
            return {}
        observation = self._observe(plant)
        now_us = START_US + round(plant.now_s * 1_000_000)
        self.memory, record = decide(self.spec, observation, self.memory, now_us)
        if record.writes:
            self.records.append(record)
        return {write.stage: write.replicas for write in record.writes}

    def _observe(self, plant: Plant) -> Observation:
        seen = [self._stage(stage, plant.now_s) for stage in plant.stages]
        self._started.clear()
        gateway = StageObservation(
            stage="gateway",
            replicas=1,
            ready=1,
            signals=StageSignals(
                sources=Sources(expected=1, answered=1),
                workers=1,
                windows=tuple(
                    WindowCounts(window_ms=ms, handled=round(plant.stages[0].window(ms / 1000).arrived))
                    for ms in WINDOWS_MS
                ),
            ),
        )
        return Observation(stages=(gateway, *seen))

    def _stage(self, stage: PlantStage, now_s: float) -> StageObservation:
        windows = []
        for ms in WINDOWS_MS:
            sums = stage.window(ms / 1000)
            windows.append(
                WindowCounts(
                    window_ms=ms,
                    handled=round(sums.handled),
                    flow_throttled=round(sums.throttled),
                    blocked_ms=round(sums.blocked_ms),
                )
            )
        return StageObservation(
            stage=stage.model.name,
            replicas=stage.replicas,
            ready=stage.ready,
            starting_ms=tuple(int((now_s - asked_s) * 1000) for asked_s, _ in stage.starting),
            started_ms=tuple(self._started.get(stage.model.name, ())),
            signals=StageSignals(
                sources=Sources(expected=stage.ready, answered=stage.ready),
                lag_ms=round(stage.lag_s(now_s) * 1000),
                depth=round(min(stage.queued, stage.credit())),
                workers=stage.ready,
                cpu_per_mille=_busy_per_mille(stage),
                windows=tuple(windows),
            ),
        )


def _busy_per_mille(stage: PlantStage) -> int:
    """As HPA sees it too, over five seconds."""
    sums = stage.window(5)
    return round(1000 * sums.busy_s / sums.ready_s) if sums.ready_s else 0


def spec_for(plant: Plant, lag_ms: int, tuning: Tuning | None = None) -> PipelineSpec:
    """The Pipeline of a plant: a gateway before its stages, each with a lag SLA."""
    names = ["gateway", *(stage.model.name for stage in plant.stages)]
    stages = [StageSpec(name="gateway", target="gateway")]
    for upstream, stage in zip(names, plant.stages, strict=False):
        model = stage.model
        stages.append(
            StageSpec(
                name=model.name,
                target=model.name,
                upstream=(upstream,),
                max_replicas=model.most,
                slas=Slas(lag_ms=lag_ms),
            )
        )
    return PipelineSpec(stages=tuple(stages), tuning=tuning or Tuning())
