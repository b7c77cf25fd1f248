"""What the live view shows: one immutable picture of a run in progress, and how it looks."""

from __future__ import annotations

from typing import NamedTuple

from rich import box
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.clock import NS_PER_MS
from pipeline.limits import MIB
from pipeline.plotting.tables import count, milliseconds, rate
from pipeline.replay.golden_path import STEPS
from pipeline.snapshot import Counts, Latency, Snapshot, Stage

WINDOW_S = 5.0
"""Of the three windows, the one that is neither nervous nor late."""
_MISSING = "–"


class View(NamedTuple):
    """A run in progress. `planned` is None when only time bounds it; rates are over the last moments."""

    phase: str
    elapsed_s: float
    planned: int | None
    accepted: int
    audited: int
    accepted_per_s: float
    audited_per_s: float
    repeated: int = 0
    retried: int = 0
    snapshot: Snapshot | None = None
    notes: tuple[str, ...] = ()
    """What the supervisor and its workers said last."""


def line(view: View) -> str:
    """The picture in one line, for a log."""
    of = "" if view.planned is None else f" of {count(view.planned)}"
    parts = [
        f"{view.elapsed_s:6.1f} s  {view.phase}:",
        f"{count(view.accepted)}{of} accepted ({rate(view.accepted_per_s)}/s),",
        f"{count(view.audited)} audited ({rate(view.audited_per_s)}/s)",
    ]
    if view.retried:
        parts.append(f"{count(view.retried)} sent again")
    if view.snapshot is not None:
        lags = [
            f"{stage.stage} {milliseconds(stage.lag_ms)}"
            for stage in view.snapshot.stages
            if stage.lag_ms is not None
        ]
        parts.append(f"lag ms: {', '.join(lags) or _MISSING}")
        end = next((found for found in _in_window(view.snapshot) if found.event == "END_TO_END"), None)
        if end is not None and end.p95_ns is not None:
            parts.append(f"end to end p95 {_ms(end.p95_ns)} ms")
    return "  ".join(parts)


def screen(view: View) -> RenderableType:
    """The picture as a terminal shows it."""
    parts: list[RenderableType] = [_progress(view)]
    if view.snapshot is not None:
        parts += [_stages(view.snapshot), _latencies(view.snapshot), _outcomes(view.snapshot)]
    parts += [Text(note, style="yellow", no_wrap=True, overflow="ellipsis") for note in view.notes]
    return Group(*parts)


def _progress(view: View) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    bars = (("accepted", view.accepted, view.accepted_per_s), ("audited", view.audited, view.audited_per_s))
    for name, done, per_s in bars:
        bar = ProgressBar(total=view.planned or max(1, view.accepted), completed=done, width=30)
        of = "" if view.planned is None else f" / {count(view.planned)}"
        grid.add_row(Text(name), bar, Text(f"{count(done)}{of}"), Text(f"{rate(per_s)} events/s"))
    title = Text.assemble(("Ringline ", "bold"), f"{view.phase}, {view.elapsed_s:.1f} s")
    if view.retried or view.repeated:
        title.append(f"; {count(view.retried)} sent again, {count(view.repeated)} answered as repeats", "dim")
    return Group(title, grid)


def _stages(snapshot: Snapshot) -> RenderableType:
    table = _table(
        "stage", "workers", "events/s", "lag ms", "queue", "blocked", "flow thr.", "denied", "CPU", "MiB"
    )
    for stage in snapshot.stages:
        replicas = [replica for replica in snapshot.replicas if replica.stage == stage.stage]
        counts = _counts(stage)
        cpu = [replica.cpu_percent for replica in replicas if replica.cpu_percent is not None]
        memory = [replica.memory_bytes for replica in replicas if replica.memory_bytes is not None]
        table.add_row(
            stage.stage,
            str(len(replicas)),
            rate(counts.handled / counts.window_s) if counts else _MISSING,
            milliseconds(stage.lag_ms),
            count(stage.depth),
            f"{counts.blocked_ms / counts.window_s / 10:.0f} %" if counts else _MISSING,
            count(counts.flow_throttled) if counts else _MISSING,
            count(counts.trade_throttled) if counts else _MISSING,
            f"{sum(cpu):.0f} %" if cpu else _MISSING,
            f"{sum(memory) / MIB:.0f}" if memory else _MISSING,
        )
    return table


def _latencies(snapshot: Snapshot) -> RenderableType:
    by_event = {latency.event: latency for latency in _in_window(snapshot)}
    table = _table(f"golden path, {WINDOW_S:g} s", "count", "p50 ms", "p95 ms", "p99 ms")
    for _, event, _ in STEPS:
        found = by_event.get(event)
        if found is not None and found.count:
            table.add_row(event, count(found.count), _ms(found.p50_ns), _ms(found.p95_ns), _ms(found.p99_ns))
    return table


def _outcomes(snapshot: Snapshot) -> RenderableType:
    parts = [f"{name} {count(n)}" for name, n in sorted(snapshot.outcomes.items()) if n]
    text = Text("outcomes: " + (", ".join(parts) or _MISSING))
    if snapshot.lost:
        text.append(f"; {count(snapshot.lost)} records lost", "yellow")
    return text


def _counts(stage: Stage) -> Counts | None:
    return next((counts for counts in stage.counts if counts.window_s == WINDOW_S), None)


def _in_window(snapshot: Snapshot) -> tuple[Latency, ...]:
    return tuple(latency for latency in snapshot.latencies if latency.window_s == WINDOW_S)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    return table


def _ms(value_ns: int | None) -> str:
    return milliseconds(None if value_ns is None else value_ns / NS_PER_MS)
