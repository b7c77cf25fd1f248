"""KEDA: an HPA on external metrics of type AverageValue, read afresh at each sync (kedacore/keda,
`pkg/scaling`).

Two triggers a stage, of which HPA takes the larger: messages a second (as by the Prometheus scaler) and
backlog (as by a queue's). KEDA is told what a replica can do, which users have to measure; between 0 and 1
replica, its own poll of 30 s does not matter here, where one is the least.
"""

from __future__ import annotations

from pipeline_operator.simulation.autoscaler import changes, due
from pipeline_operator.simulation.hpa import SYNC_S, Behavior, average_value_desired
from pipeline_operator.simulation.plant import STEP_S, Plant, PlantStage

RATE_WINDOW_S = 30.0
"""`rate(…[30s])`: two scrapes of 15 s, the least that Prometheus can tell a rate from."""


class Keda:
    """`target` is the wanted share of a replica's rate; `backlog_s` the backlog allowed, in seconds of its
    rate."""

    def __init__(self, target: float = 0.8, backlog_s: float = 1.0, name: str = "keda") -> None:
        self.name = name
        self._target = target
        self._backlog_s = backlog_s
        self._behaviors: dict[str, Behavior] = {}

    def wishes(self, plant: Plant) -> dict[str, int]:
        if not due(plant.now_s, SYNC_S, STEP_S):
            return {}
        return changes(plant, self._wish)

    def _wish(self, stage: PlantStage, now_s: float) -> int:
        rate = stage.window(RATE_WINDOW_S).arrived / min(RATE_WINDOW_S, max(now_s, STEP_S))
        desired = max(
            average_value_desired(rate, stage.replicas, stage.model.rate * self._target),
            average_value_desired(stage.queued, stage.replicas, stage.model.rate * self._backlog_s),
        )
        behavior = self._behaviors.setdefault(stage.model.name, Behavior(1, stage.model.most))
        return behavior.limited(desired, stage.replicas, now_s)
