"""What the simulation drives: anything that looks at the plant and says how many replicas it wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pipeline_operator.simulation.plant import Plant, PlantStage


class Autoscaler(Protocol):
    """One algorithm with its own period; it is asked at every step of the plant."""

    @property
    def name(self) -> str: ...

    def wishes(self, plant: Plant) -> dict[str, int]:
        """Replicas by stage, only of those it wants to change now; stages it does not scale are left out."""


def due(now_s: float, period_s: float, step_s: float) -> bool:
    """Whether a loop with this period runs in the step that ends now."""
    return int(now_s / period_s + 1e-9) != int((now_s - step_s) / period_s + 1e-9)


def changes(plant: Plant, wish: Callable[[PlantStage, float], int]) -> dict[str, int]:
    """The wishes of an algorithm that looks at each stage by itself, `wish(stage, now_s)`."""
    return {
        stage.model.name: replicas
        for stage in plant.stages
        if (replicas := wish(stage, plant.now_s)) != stage.replicas
    }
