"""One trace under one autoscaler, and what it cost."""

from __future__ import annotations

from msgspec import Struct

from pipeline_operator.simulation.autoscaler import Autoscaler
from pipeline_operator.simulation.plant import STEP_S, Plant, PlantStage
from pipeline_operator.simulation.traces import Trace

SERIES_S = 5.0
"""Distance of the points that are kept for plots."""


class Outcome(Struct, frozen=True, kw_only=True):
    """`sla_minutes` is the time in which the lag of any stage was above its SLA, `replica_minutes` the
    replicas of all stages over time, `changes` the writes of replicas. `reaction_s` is the mean time from
    the beginning of a breach to a raise, 0 where pods were starting already; None without a breach. `unmet`
    counts breaches during which nothing was raised: they are not in the mean."""

    trace: str
    autoscaler: str
    sla_minutes: float
    replica_minutes: float
    changes: int
    reaction_s: float | None
    unmet: int
    worst_backlog: int
    worst_lag_s: float
    series: tuple[tuple[float, float, int, float], ...] = ()
    """(second, load, replicas, worst lag in seconds)"""


class _Breach:
    """Times from the beginning of a breach to a raise."""

    def __init__(self) -> None:
        self.reactions: list[float] = []
        self.unmet = 0
        self._since: float | None = None
        self._answered = False

    def note(self, breached: bool, raised: bool, starting: bool, now_s: float) -> None:
        if breached and self._since is None:
            self._since, self._answered = now_s, False
            if starting:
                self._answer(0.0)
        if self._since is not None and raised and not self._answered:
            self._answer(now_s - self._since)
        if not breached and self._since is not None:
            self.unmet += not self._answered
            self._since = None

    def _answer(self, seconds: float) -> None:
        self.reactions.append(seconds)
        self._answered = True


def run(trace: Trace, autoscaler: Autoscaler, plant: Plant, lag_s: float) -> Outcome:
    """Drives the whole trace. Deterministic for a seed of the plant."""
    breach = _Breach()
    sla_s = replica_s = worst_backlog = worst_lag_s = 0.0
    changes = 0
    series: list[tuple[float, float, int, float]] = []
    stages = {stage.model.name: stage for stage in plant.stages}
    while plant.now_s < trace.seconds:
        load = trace.at(plant.now_s)
        plant.advance(load)
        wishes = autoscaler.wishes(plant)
        raised = any(replicas > stages[name].replicas for name, replicas in wishes.items())
        starting = any(stage.starting for stage in plant.stages)
        changes += _apply(stages, wishes, plant.now_s)
        lag = max(stage.lag_s(plant.now_s) for stage in plant.stages)
        breach.note(lag > lag_s, raised, starting, plant.now_s)
        sla_s += STEP_S * (lag > lag_s)
        replicas = sum(stage.replicas for stage in plant.stages)
        replica_s += STEP_S * replicas
        worst_backlog = max(worst_backlog, sum(stage.queued for stage in plant.stages))
        worst_lag_s = max(worst_lag_s, lag)
        if plant.now_s % SERIES_S == 0:
            series.append((plant.now_s, round(load, 1), replicas, round(lag, 3)))
    reactions = breach.reactions
    return Outcome(
        trace=trace.name,
        autoscaler=autoscaler.name,
        sla_minutes=round(sla_s / 60, 3),
        replica_minutes=round(replica_s / 60, 1),
        changes=changes,
        reaction_s=round(sum(reactions) / len(reactions), 2) if reactions else None,
        unmet=breach.unmet,
        worst_backlog=round(worst_backlog),
        worst_lag_s=round(worst_lag_s, 2),
        series=tuple(series),
    )


def _apply(stages: dict[str, PlantStage], wishes: dict[str, int], now_s: float) -> int:
    changes = 0
    for name, replicas in wishes.items():
        stage = stages.get(name)
        if stage is not None and replicas != stage.replicas:
            stage.scale(replicas, now_s)
            changes += 1
    return changes
