"""Knative's pod autoscaler, after knative/serving `pkg/autoscaler/scaling/autoscaler.go` and its README.

Every 2 s, on concurrency scraped each second: desired = ceil(mean over 60 s / target) in stable mode. When
the mean over 6 s wants twice the ready pods or more, it panics: it takes the 6 s figure, never goes down,
and leaves when that has not been so for 60 s. Up at most a thousandfold, down at most to a half. The target
is 70 % of what a pod can hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline_operator.simulation.autoscaler import changes, due
from pipeline_operator.simulation.plant import STEP_S, Plant, PlantStage

TICK_S = 2.0
STABLE_S, PANIC_S = 60.0, 6.0
PANIC_THRESHOLD = 2.0
MOST_UP, MOST_DOWN = 1000.0, 2.0


@dataclass(slots=True)
class Panic:
    """Whether it panics, since when, and the most it has wanted."""

    since_s: float | None = None
    most: int = 0


def desired(stable: float, panicked: float, ready: int, target: float, panic: Panic, now_s: float) -> int:
    """Pods for the mean concurrencies of the whole stage over 60 s and 6 s; changes `panic`."""
    ready = max(1, ready)
    most, least = math.ceil(MOST_UP * ready), math.floor(ready / MOST_DOWN)
    wanted = min(max(math.ceil(stable / target), least), most)
    hasty = min(max(math.ceil(panicked / target), least), most)
    over = hasty / ready >= PANIC_THRESHOLD
    if over:
        if panic.since_s is None:
            panic.most = 0
        panic.since_s = now_s
    elif panic.since_s is not None and now_s - panic.since_s >= STABLE_S:
        panic.since_s, panic.most = None, 0
    if panic.since_s is None:
        return wanted
    panic.most = max(panic.most, hasty)
    return panic.most


class Knative:
    """One pod autoscaler a stage; `target` is the share of a pod's concurrency that is wanted."""

    def __init__(self, target: float = 0.7, name: str = "knative") -> None:
        self.name = name
        self._target = target
        self._panics: dict[str, Panic] = {}

    def wishes(self, plant: Plant) -> dict[str, int]:
        if not due(plant.now_s, TICK_S, STEP_S):
            return {}
        return changes(plant, self._wish)

    def _wish(self, stage: PlantStage, now_s: float) -> int:
        stable = stage.window(STABLE_S).in_hand / min(STABLE_S, now_s)
        panicked = stage.window(PANIC_S).in_hand / min(PANIC_S, now_s)
        panic = self._panics.setdefault(stage.model.name, Panic())
        wish = desired(stable, panicked, stage.ready, stage.model.workers * self._target, panic, now_s)
        return min(max(wish, 1), stage.model.most)
