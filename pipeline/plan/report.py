"""A whole plan, as JSON and as tables."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from pipeline.plan.capacity import STAGES, Capacity
from pipeline.plan.phases import Assumptions, Phase
from pipeline.plan.planner import PhasePlan, plan
from pipeline.plan.simulate import Simulated, simulate
from pipeline.plotting.tables import Table, count, mebibytes, milliseconds, rate

GB = 1e9


class Planned(Struct, frozen=True, kw_only=True):
    """One phase, planned and tried."""

    plan: PhasePlan
    simulated: Simulated


class Report(Struct, frozen=True, kw_only=True):
    """A field is only ever added, with a default."""

    schema: str = "ringline.plan"
    schema_version: int = 1
    capacity: Capacity
    assumptions: Assumptions
    phases: tuple[Planned, ...]

    @property
    def ok(self) -> bool:
        """Whether every plan keeps its latency in the simulation."""
        return all(found.simulated.met for found in self.phases)


def make_report(capacity: Capacity, assumed: Assumptions, phases: Iterable[Phase]) -> Report:
    found = []
    for phase in phases:
        made = plan(phase, capacity, assumed)
        found.append(Planned(plan=made, simulated=simulate(made, capacity, assumed)))
    return Report(capacity=capacity, assumptions=assumed, phases=tuple(found))


def tables(report: Report) -> list[Table]:
    return [_capacity(report.capacity), *map(_phase, report.phases), _storage(report)]


def texts(report: Report) -> list[str]:
    """What is assumed, and what this version lacks."""
    assumed = report.assumptions
    lines = [
        "Assumed:",
        (
            f"- The peak second has {assumed.burst:g} times the mean of its hour; a worker is busy at most "
            f"{assumed.use:.0%} of it."
        ),
        (
            "- Waiting by Kingman's formula (1961) for each worker's own queue, as keys stick to workers; "
            f"ca² {assumed.ca2:g}, cs² {assumed.cs2:g}; and for commits "
            f"({report.capacity.journal_commit_ms:.2g} ms)."
        ),
        (
            f"- {assumed.keys:,} equally busy symbols, spread by hashing; the fullest worker is three "
            "standard deviations above the mean. A symbol is never spread over workers."
        ),
        "- A worker has a core of its own, as fast as the one that was measured; the network costs nothing.",
        "- Of several regions one may be down: the others carry its share.",
    ]
    needs = {stage.needs for one in report.phases for stage in one.plan.stages if stage.needs}
    if needs:
        lines += ["", "Beyond this version:", *(f"- {text}." for text in sorted(needs))]
    return lines


def _capacity(capacity: Capacity) -> Table:
    rows = tuple(
        (
            name,
            f"{capacity.stages[name].cpu_us:,.0f}",
            rate(capacity.stages[name].per_s),
            mebibytes(capacity.stages[name].memory_bytes),
        )
        for name in STAGES
    )
    note = (
        f"{capacity.source}; {capacity.events:,} events. An event takes {_bytes(capacity.journal_bytes)} of "
        f"journal and {_bytes(capacity.audit_bytes)} of audit."
    )
    return Table("One worker", ("stage", "CPU µs an event", "events/s", "MiB"), rows, note=note)


def _bytes(value: float | None) -> str:
    return "unknown bytes" if value is None else f"{value:,.0f} bytes"


def _phase(found: Planned) -> Table:
    made, tried = found.plan, found.simulated
    rows = [
        (
            stage.stage,
            count(stage.workers),
            f"{stage.busy:.0%}",
            f"{stage.cores:,.1f}",
            mebibytes(stage.memory_bytes),
            milliseconds(stage.p95_ms),
            milliseconds(tried.stages[stage.stage]),
            milliseconds(stage.wanted_p95_ms),
        )
        for stage in made.stages
    ]
    rows.append(
        ("all", count(made.workers), "", f"{made.cores:,.1f}", mebibytes(made.memory_bytes), "", "", "")
    )
    where = f" in each of {made.phase.regions} regions" if made.phase.regions > 1 else ""
    taken = ", ".join(
        f"{name} {milliseconds(value)}"
        for name, value in (("p50", tried.p50_ms), ("p95", tried.p95_ms), ("p99", tried.p99_ms))
    )
    note = (
        f"{made.peak_per_s:,.0f} events/s in the peak second{where}. Simulated: accept to settled {taken} "
        f"ms, of {tried.events:,} events; {'every' if tried.met else 'NOT every'} stage keeps its p95."
    )
    columns = ("stage", "workers", "fullest busy", "cores busy", "MiB", "p95 ms", "simulated", "wanted")
    return Table(made.phase.name, columns, tuple(rows), note=note, total=True)


def _storage(report: Report) -> Table:
    rows = tuple(
        (
            one.plan.phase.name,
            count(round(one.plan.phase.events_a_day)),
            _gigabytes(one.plan.journal_bytes_a_day),
            _gigabytes(one.plan.audit_bytes_a_day),
        )
        for one in report.phases
    )
    note = "Journal is what is written; what is kept of it is bounded by journal.max_bytes in each gateway."
    return Table("Storage a day, all regions", ("phase", "events", "journal GB", "audit GB"), rows, note=note)


def _gigabytes(value: float | None) -> str:
    return "–" if value is None else f"{value / GB:,.1f}"
