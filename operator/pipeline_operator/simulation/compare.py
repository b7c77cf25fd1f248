"""Our policy beside its rivals on one trace, also with the rivals' targets swept: what they cost at our SLA
minutes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from pipeline_operator.simulation.autoscaler import Autoscaler
from pipeline_operator.simulation.hpa import Hpa
from pipeline_operator.simulation.keda import Keda
from pipeline_operator.simulation.knative import Knative
from pipeline_operator.simulation.ours import Ours, spec_for
from pipeline_operator.simulation.plant import Plant, StageModel
from pipeline_operator.simulation.run import Outcome, run
from pipeline_operator.simulation.traces import Trace
from pipeline_operator.spec import Tuning

SCHEMA_VERSION = 1
OURS = "ringline"
DEFAULT_STAGES = (
    StageModel("agent", rate=100, first=2),
    StageModel("exec", rate=80, first=3),
    StageModel("audit", rate=5000, most=1, workers=64, credit=4096),
)
"""What a replica with a venue of some ten milliseconds does; an audit in SQLite, which cannot scale."""
RIVALS: dict[str, tuple[Callable[[float], Autoscaler], float]] = {
    "hpa": (Hpa, 0.7),
    "keda": (Keda, 0.8),
    "knative": (Knative, 0.7),
}
"""Name → (by target, its usual target): 70 % is Knative's default and what HPA's users take most."""
SWEPT = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Settings(Struct, frozen=True, kw_only=True):
    """What one comparison runs with."""

    seed: int = 1
    lag_ms: int = 1000
    tuning: Tuning = Tuning()
    stages: tuple[StageModel, ...] = DEFAULT_STAGES
    sweep: bool = True


class Equal(Struct, frozen=True, kw_only=True):
    """The cheapest swept target of a rival with no more SLA minutes than ours; None where none gets there."""

    rival: str
    target: float | None
    sla_minutes: float | None
    replica_minutes: float | None
    saved_per_cent: float | None
    """Of its replica minutes, that ours saves; negative when ours costs more."""


class Comparison(Struct, frozen=True, kw_only=True):
    """One trace. `dominated_by` are rivals, with the target, that have no more SLA minutes and no more
    replica minutes than ours, and less of one."""

    trace: str
    meaning: str
    outcomes: tuple[Outcome, ...]
    equal: tuple[Equal, ...] = ()
    dominated_by: tuple[str, ...] = ()

    @property
    def met(self) -> bool:
        """Not dominated, and cheaper than each rival that gets to our SLA minutes."""
        return not self.dominated_by and all((entry.saved_per_cent or 0) >= 0 for entry in self.equal)


class Report(Struct, frozen=True, kw_only=True):
    """All traces."""

    schema: int = SCHEMA_VERSION
    seed: int
    lag_ms: int
    stages: tuple[StageModel, ...]
    comparisons: tuple[Comparison, ...]
    met: bool


def compare(trace: Trace, settings: Settings) -> Comparison:
    """Runs all autoscalers under the same load, noise and start times."""
    plant = Plant(settings.stages, settings.seed)
    ours = _run(trace, settings, Ours(spec_for(plant, settings.lag_ms, settings.tuning), OURS))
    swept = {
        (name, target): _run(trace, settings, make(target))
        for name, (make, usual) in RIVALS.items()
        for target in sorted({usual, *(SWEPT if settings.sweep else ())})
    }
    return Comparison(
        trace=trace.name,
        meaning=trace.meaning,
        outcomes=(ours, *(swept[name, usual] for name, (_, usual) in RIVALS.items())),
        equal=tuple(_equals(ours, swept)) if settings.sweep else (),
        dominated_by=tuple(
            f"{name} at {target:.0%}" for (name, target), its in swept.items() if dominates(its, ours)
        ),
    )


def report(comparisons: tuple[Comparison, ...], settings: Settings) -> Report:
    return Report(
        seed=settings.seed,
        lag_ms=settings.lag_ms,
        stages=settings.stages,
        comparisons=comparisons,
        met=all(comparison.met for comparison in comparisons),
    )


def dominates(one: Outcome, other: Outcome) -> bool:
    """No worse in SLA minutes and replica minutes, and better in one."""
    mine = (one.sla_minutes, one.replica_minutes)
    its = (other.sla_minutes, other.replica_minutes)
    return mine[0] <= its[0] and mine[1] <= its[1] and mine != its


def _equals(ours: Outcome, swept: dict[tuple[str, float], Outcome]) -> Iterator[Equal]:
    for rival in RIVALS:
        reach = [
            (its.replica_minutes, target, its)
            for (name, target), its in swept.items()
            if name == rival and its.sla_minutes <= ours.sla_minutes
        ]
        if not reach:
            yield Equal(rival=rival, target=None, sla_minutes=None, replica_minutes=None, saved_per_cent=None)
            continue
        cost, target, its = min(reach, key=lambda entry: entry[:2])
        yield Equal(
            rival=rival,
            target=target,
            sla_minutes=its.sla_minutes,
            replica_minutes=cost,
            saved_per_cent=round(100 * (1 - ours.replica_minutes / cost), 1),
        )


def _run(trace: Trace, settings: Settings, autoscaler: Autoscaler) -> Outcome:
    plant = Plant(settings.stages, settings.seed)
    return run(trace, autoscaler, plant, settings.lag_ms / 1000)
