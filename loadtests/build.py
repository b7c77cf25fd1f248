"""From what was collected to facts, and from facts and verdicts to the report. Pure but for the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from loadtests.facts import Audited, Ending, Facts, StepFacts
from loadtests.gates import Verdict
from loadtests.processes import cpu_percents, process_facts
from loadtests.report import Figures, MemoryPoint, Point, Report, StageFigures, StagePoint
from loadtests.samples import Sample, Samples
from loadtests.settings import Gates
from loadtests.shapes import Shape, step_end_s
from loadtests.tally import ACCEPTED, Collected, Second, Totals
from loadtests.task import Task
from pipeline.errors import EXIT_MISSING, EXIT_NO, EXIT_OK
from pipeline.snapshot import Snapshot

GENERATOR = "generator"
"""Readings of Locust's processes: shown, and none of the pipeline's."""
NS_PER_MS = 1e6
FIRST_SEGMENT = "0000000000000001.seg"
"""Of a journal: where it is gone, others may be as well."""
GOOD_SECONDS = 3
"""One good second between bad ones is no recovery."""
PACKAGES = ("ringline", "locust", "gevent", "geventhttpclient", "msgspec", "numpy")


def step_facts(shape: Shape, collected: Collected, ran_s: float, recover_s: float) -> tuple[StepFacts, ...]:
    """The steps that were begun, each as long as it lasted; the one after a spike without its first
    `recover_s`."""
    found, start_s = [], 0.0
    for index, step in enumerate(shape.steps):
        lasted_s = min(step.duration_s, ran_s - start_s)
        start_s += step.duration_s
        if 0 <= shape.spike_step == index - 1:
            lasted_s -= recover_s
        totals = collected.steps.get(index)
        if totals is None or lasted_s <= 0:
            continue
        found.append(
            StepFacts(
                index=index,
                users=step.users,
                duration_s=lasted_s,
                planned=totals.planned,
                met=totals.met,
                shed=totals.shed,
                errors=totals.errors,
                p50_ms=totals.quantile_ms(ACCEPTED, 50),
                p95_ms=totals.quantile_ms(ACCEPTED, 95),
                p99_ms=totals.quantile_ms(ACCEPTED, 99),
            )
        )
    return tuple(found)


def recovered_s(shape: Shape, seconds: Sequence[Second], started_s: float, limit_ms: float) -> float | None:
    """From the end of the spike to the first of GOOD_SECONDS seconds in a row that are within the limit with
    nothing shed and no errors; None when there are no such."""
    if shape.spike_step < 0:
        return None
    end_s = started_s + step_end_s(shape, shape.spike_step)
    in_a_row = 0
    for second in seconds:
        if second.second + 1 <= end_s or not _answered(second):
            continue
        in_a_row = in_a_row + 1 if _is_good(second, limit_ms) else 0
        if in_a_row == GOOD_SECONDS:
            return max(0.0, second.second - GOOD_SECONDS + 1 - end_s)
    return None


def _answered(second: Second) -> bool:
    return bool(second.met or second.shed or second.errors)


def _is_good(second: Second, limit_ms: float) -> bool:
    value_ns = second.p95_ns
    return not second.shed and not second.errors and (value_ns is None or value_ns / NS_PER_MS < limit_ms)


def make_facts(
    task: Task,
    shape: Shape,
    gates: Gates,
    collected: Collected,
    samples: Samples,
    ending: Ending,
    started_s: float,
    drained: tuple[float | None, float],
    audited: Audited | None,
    audit_fault: str,
) -> Facts:
    totals = collected.totals
    return Facts(
        shape=shape,
        ending=ending,
        planned=totals.planned,
        met=totals.met,
        shed=totals.shed,
        errors=totals.errors,
        p95_ms=totals.quantile_ms(ACCEPTED, 95),
        steps=step_facts(shape, collected, ending.ran_s, gates.recover_s),
        processes=tuple(
            process_facts(name, readings, gates, samples.restarts.get(name, 0))
            for name, readings in samples.readings.items()
            if not name.startswith(GENERATOR)
        ),
        drained_s=drained[0],
        drain_watched_s=drained[1],
        recovered_s=recovered_s(shape, collected.ordered(), started_s, gates.p95_ms),
        audited=audited,
        audit_fault=audit_fault,
        expects_audit=task.start or bool(task.audit_url and not task.data_dir),
        reads=totals.reads,
        read_errors=totals.read_errors,
        gaps=totals.gaps,
    )


def make_report(
    task: Task,
    facts: Facts,
    verdicts: Sequence[Verdict],
    collected: Collected,
    samples: Samples,
    started_s: float,
) -> Report:
    bad = [verdict for verdict in verdicts if verdict.verdict == "violated"]
    totals = collected.totals
    generator = [
        value
        for name, readings in samples.readings.items()
        if name.startswith(GENERATOR)
        for value in cpu_percents(readings)
    ]
    return Report(
        ok=not bad,
        exit_code=EXIT_MISSING if facts.ending.missing else EXIT_NO if bad else EXIT_OK,
        headline=headline(facts, verdicts),
        started=datetime.fromtimestamp(started_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        run=task.run,
        target=task.gateway_url,
        started_by_test=task.start,
        generators=task.generators,
        machine=machine(),
        versions=versions(),
        facts=facts,
        verdicts=tuple(verdicts),
        latencies=tuple(_figures(name, totals) for name in sorted(totals.sketches)),
        stages=_stages(samples.last),
        statuses=dict(sorted(totals.statuses.items())),
        faults=dict(totals.faults.most_common()),
        kinds=dict(sorted(totals.kinds.items())),
        retries=totals.retries,
        given_up=totals.given_up,
        lag_peak_ms=_peaks([sample.lag_ms for sample in samples.samples]),
        backlog_peak={name: int(value) for name, value in _peaks([s.depth for s in samples.samples]).items()},
        flow_throttled=sum(sample.flow_throttled for sample in samples.samples),
        trade_throttled=sum(sample.trade_throttled for sample in samples.samples),
        generator_cpu_percent=sum(generator) / len(generator) if generator else None,
        points=tuple(_point(second, started_s) for second in collected.ordered()),
        stage_points=tuple(_stage_point(sample, started_s) for sample in samples.samples),
        changes=samples.changes,
        journal_bytes_an_event=_journal_bytes(task, facts),
        audit_bytes_an_event=_audit_bytes(task, facts),
        memory={
            name: tuple(
                MemoryPoint(elapsed_s=reading.at_s - started_s, memory_bytes=reading.memory_bytes)
                for reading in readings
                if reading.memory_bytes is not None
            )
            for name, readings in samples.readings.items()
        },
    )


def _journal_bytes(task: Task, facts: Facts) -> float | None:
    """Of an event, of a pipeline that began with the test. One that was compacted meanwhile tells nothing."""
    folder = Path(task.data_dir) / "journal"
    rows = _own_rows(task, facts)
    if not rows or not (folder / FIRST_SEGMENT).is_file():
        return None
    return sum(len(file.read_bytes().rstrip(b"\0")) for file in folder.iterdir()) / rows


def _audit_bytes(task: Task, facts: Facts) -> float | None:
    rows = _own_rows(task, facts)
    files = list(Path(task.data_dir).glob("audit.sqlite*")) if rows else []
    return sum(file.stat().st_size for file in files) / rows if files else None


def _own_rows(task: Task, facts: Facts) -> int:
    """Of a data folder in which there is nothing else; 0 where there may be."""
    found = facts.audited.all_rows if task.start and facts.audited is not None else None
    return found or 0


def headline(facts: Facts, verdicts: Sequence[Verdict]) -> str:
    """One sentence: which test, and what it says."""
    shape = facts.shape
    scaled = f", at {shape.time_scale:g} of its time" if shape.time_scale != 1 else ""
    opened = ", open model" if shape.open_model else ""
    bad = [verdict.name for verdict in verdicts if verdict.verdict == "violated"]
    open_ = [verdict.name for verdict in verdicts if verdict.verdict == "unknown"]
    if facts.ending.missing and not facts.answered:
        return f"{shape.name}{opened}{scaled}: did not run: {facts.ending.fault}"
    if bad:
        return f"{shape.name}{opened}{scaled}: failed: {', '.join(bad)}"
    unknown = f"; not to be told: {', '.join(open_)}" if open_ else ""
    return f"{shape.name}{opened}{scaled}: passed every gate that can be told{unknown}"


def machine() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": next(names, platform.processor()),
        "cpus": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory_gb:.0f} GB",
    }


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _figures(name: str, totals: Totals) -> Figures:
    sketch = totals.sketches[name]
    return Figures(
        name=name,
        count=sketch.count,
        p50_ms=totals.quantile_ms(name, 50),
        p95_ms=totals.quantile_ms(name, 95),
        p99_ms=totals.quantile_ms(name, 99),
        p99_9_ms=totals.quantile_ms(name, 99.9),
        max_ms=sketch.maximum / NS_PER_MS,
    )


def _stages(snapshot: Snapshot | None) -> tuple[StageFigures, ...]:
    totals = snapshot.totals if snapshot is not None else ()
    return tuple(
        StageFigures(
            event=found.event, count=found.count,
            p50_ms=_ms(found.p50_ns), p95_ms=_ms(found.p95_ns), p99_ms=_ms(found.p99_ns),
        )
        for found in totals
        if found.count
    )  # fmt: skip


def _ms(value_ns: int | None) -> float | None:
    return None if value_ns is None else value_ns / NS_PER_MS


def _peaks(moments: Sequence[dict[str, float]] | Sequence[dict[str, int]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for moment in moments:
        for name, value in moment.items():
            found[name] = max(found.get(name, 0), value)
    return found


def _point(second: Second, started_s: float) -> Point:
    return Point(
        elapsed_s=second.second - started_s,
        users=second.users,
        planned=second.planned,
        met=second.met,
        shed=second.shed,
        errors=second.errors,
        p50_ms=_ms(second.p50_ns),
        p95_ms=_ms(second.p95_ns),
        p99_ms=_ms(second.p99_ns),
    )


def _stage_point(sample: Sample, started_s: float) -> StagePoint:
    return StagePoint(
        elapsed_s=sample.at_s - started_s,
        lag_ms=sample.lag_ms,
        depth=sample.depth,
        replicas=sample.replicas,
        end_to_end_p95_ms=sample.end_to_end_p95_ms,
    )


def dead_for_s(seconds: Sequence[Second], now_s: float) -> int:
    """How many seconds up to now nothing was answered as expected or shed, though something was planned."""
    last = [second for second in seconds if second.second < int(now_s)]
    for index, second in enumerate(reversed(last)):
        if second.met or second.shed:
            return index
    return len(last)
