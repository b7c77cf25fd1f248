"""HPA v2 of Kubernetes, after its documentation and `pkg/controller/podautoscaler` (kubernetes/kubernetes).

Every 15 s: desired = ceil(ready · value / target), nothing within a tolerance of 10 %; up by at most 4 pods
or 100 % in 15 s, whichever is more; down to the highest recommendation of the last 300 s. CPU comes from
metrics-server, whose figures are averages of 15 s and up to 15 s old; pods that are not ready count as 0 %
when scaling up.
"""

from __future__ import annotations

import math
from collections import deque

from pipeline_operator.simulation.autoscaler import changes, due
from pipeline_operator.simulation.plant import STEP_S, Plant, PlantStage

SYNC_S = 15.0
TOLERANCE = 0.1
DOWN_WINDOW_S = 300.0
UP_PODS, UP_SHARE, UP_PERIOD_S = 4, 1.0, 15.0
SCRAPE_S = 15.0


def resource_desired(values: list[float], unready: int, replicas: int, target: float) -> int:
    """`values` are shares of a request by ready pod, `target` the wanted mean; unready pods count as 0 when
    the others ask for more, and are left out when they ask for less."""
    if not values:
        return replicas
    # Thousandths, as Kubernetes counts: ceil() would make a pod of a float's last digit.
    total, each = sum(round(value * 1000) for value in values), round(target * 1000)
    if abs(total / (each * len(values)) - 1) <= TOLERANCE:
        return replicas
    if total > each * len(values) and unready:
        pods = len(values) + unready
        if total / (each * pods) <= 1 + TOLERANCE:
            return replicas
        return max(replicas, -(-total // each))
    return -(-total // each)


def average_value_desired(total: float, replicas: int, target: float) -> int:
    """An external metric with a target of type AverageValue: ceil(total / target), with the same
    tolerance."""
    if replicas and abs(total / (target * replicas) - 1) <= TOLERANCE:
        return replicas
    return -(-round(total * 1000) // round(target * 1000))


class Behavior:
    """The default `behavior` of one HPA: stabilisation, then the limits of a change."""

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most
        self._recommended: deque[tuple[float, int]] = deque()
        self._raised: deque[tuple[float, int]] = deque()

    def limited(self, desired: int, replicas: int, now_s: float) -> int:
        """What is really set."""
        self._recommended.append((now_s, desired))
        while self._recommended[0][0] < now_s - DOWN_WINDOW_S:
            self._recommended.popleft()
        while self._raised and self._raised[0][0] <= now_s - UP_PERIOD_S:
            self._raised.popleft()
        if desired < replicas:
            desired = min(replicas, max(told for _, told in self._recommended))
        if desired > replicas:
            before = replicas - sum(added for _, added in self._raised)
            desired = min(desired, max(before + UP_PODS, math.ceil(before * (1 + UP_SHARE)), replicas))
        desired = min(max(desired, self._least), self._most)
        if desired > replicas:
            self._raised.append((now_s, desired - replicas))
        return desired


class Hpa:
    """One HPA a stage on CPU; `target` is the wanted share of a busy replica."""

    def __init__(self, target: float = 0.7, name: str = "hpa") -> None:
        self.name = name
        self._target = target
        self._behaviors: dict[str, Behavior] = {}
        self._scraped: dict[str, float] = {}

    def wishes(self, plant: Plant) -> dict[str, int]:
        if due(plant.now_s + 7.0, SCRAPE_S, STEP_S):  # out of step with the sync, as it is
            for stage in plant.stages:
                sums = stage.window(SCRAPE_S)
                self._scraped[stage.model.name] = sums.busy_s / sums.ready_s if sums.ready_s else 0.0
        if not due(plant.now_s, SYNC_S, STEP_S):
            return {}
        return changes(plant, self._wish)

    def _wish(self, stage: PlantStage, now_s: float) -> int:
        share = self._scraped.get(stage.model.name)
        if share is None:
            return stage.replicas
        desired = resource_desired([share] * stage.ready, len(stage.starting), stage.replicas, self._target)
        behavior = self._behaviors.setdefault(stage.model.name, Behavior(1, stage.model.most))
        return behavior.limited(desired, stage.replicas, now_s)
