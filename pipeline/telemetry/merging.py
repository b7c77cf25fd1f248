"""Makes one snapshot of those of several collectors. Pure.

Each knows the workers of its own pod, and what these, as senders, see of others. Counts add up, a lag is the
worst that any tells, a worker's own word joins its senders'. Percentiles cannot be merged: they come from the
buckets where every collector that has the event gave them (`?sketches=`), else there are none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from msgspec import structs

from pipeline.snapshot import Counts, Latency, Replica, Snapshot, Stage
from pipeline.telemetry.sketch import Sketch, SketchError
from pipeline.telemetry.view import flow_order

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


def merged(snapshots: Sequence[Snapshot]) -> Snapshot:
    """One of them all, as old as the oldest. Raises ValueError when there are none."""
    if len(snapshots) == 1:
        return snapshots[0]
    if not snapshots:
        raise ValueError("no snapshots to merge")
    stages = [stage for snapshot in snapshots for stage in snapshot.stages]
    uptime_s = max(snapshot.uptime_s for snapshot in snapshots)
    whole = [one for snapshot in snapshots for one in snapshot.latencies]
    totals = [one for snapshot in snapshots for one in snapshot.totals]
    outcomes: dict[str, int] = defaultdict(int)
    for snapshot in snapshots:
        for outcome, count in snapshot.outcomes.items():
            outcomes[outcome] += count
    return Snapshot(
        taken_us=min(snapshot.taken_us for snapshot in snapshots),
        uptime_s=uptime_s,
        stages=tuple(
            _stage(group)
            for _, group in sorted(
                _grouped(stages, lambda one: one.stage).items(), key=lambda item: flow_order(item[0])
            )
        ),
        replicas=tuple(
            sorted(
                (
                    _replica(group)
                    for group in _grouped(
                        (replica for snapshot in snapshots for replica in snapshot.replicas),
                        lambda one: one.name,
                    ).values()
                ),
                key=lambda one: (*flow_order(one.stage), one.ordinal, one.name),
            )
        ),
        latencies=_latencies(whole, [one for stage in stages for one in stage.latencies]),
        totals=tuple(
            structs.replace(_latency(group, []), window_s=uptime_s)
            for group in _grouped(totals, lambda one: one.event).values()
        ),
        outcomes=dict(outcomes),
        lost=sum(snapshot.lost for snapshot in snapshots),
        dead=tuple(one for snapshot in snapshots for one in snapshot.dead),
        slas=tuple(one for snapshot in snapshots for one in snapshot.slas),
        brief=any(snapshot.brief for snapshot in snapshots),
    )


def _grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    found: dict[K, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def _stage(group: Sequence[Stage]) -> Stage:
    latencies = [one for stage in group for one in stage.latencies]
    return Stage(
        stage=group[0].stage,
        lag_ms=_worst(stage.lag_ms for stage in group),
        depth=sum(stage.depth for stage in group),
        counts=_counts(one for stage in group for one in stage.counts),
        latencies=_latencies(latencies, latencies),
    )


def _replica(group: Sequence[Replica]) -> Replica:
    """Whoever has its ring knows its processor time and memory; senders know its lag and credit."""
    held = [one.credit for one in group if one.credit is not None]
    return Replica(
        stage=group[0].stage,
        ordinal=group[0].ordinal,
        name=group[0].name,
        age_ms=min(one.age_ms for one in group),
        lag_ms=_worst(one.lag_ms for one in group),
        depth=max(one.depth for one in group),
        credit=sum(held) if held else None,
        cpu_percent=_worst(one.cpu_percent for one in group),
        memory_bytes=max((one.memory_bytes for one in group if one.memory_bytes is not None), default=None),
        counts=_counts(counts for one in group for counts in one.counts),
    )


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _counts(rows: Iterable[Counts]) -> tuple[Counts, ...]:
    return tuple(
        Counts(
            window_s=group[0].window_s,
            handled=sum(one.handled for one in group),
            flow_throttled=sum(one.flow_throttled for one in group),
            trade_throttled=sum(one.trade_throttled for one in group),
            shed=sum(one.shed for one in group),
            blocked_ms=sum(one.blocked_ms for one in group),
        )
        for group in _grouped(rows, lambda one: one.window_s).values()
    )


def _latencies(told: Sequence[Latency], detailed: Sequence[Latency]) -> tuple[Latency, ...]:
    """`detailed`: the same by stage, some with their buckets."""
    by_stage = _grouped(detailed, lambda one: (one.event, one.window_s))
    return tuple(
        _latency(group, by_stage.get(key, [])) for key, group in _grouped(told, _event_and_window).items()
    )


def _event_and_window(latency: Latency) -> tuple[str, float]:
    return latency.event, latency.window_s


def _latency(group: Sequence[Latency], detailed: Sequence[Latency]) -> Latency:
    filled = [one for one in group if one.count]
    lost = sum(one.lost for one in group)
    if len(filled) < 2:
        return structs.replace(filled[0] if filled else group[0], lost=lost)
    count = sum(one.count for one in filled)
    minima = [one.min_ns for one in filled if one.min_ns is not None]
    maxima = [one.max_ns for one in filled if one.max_ns is not None]
    whole = Latency(
        event=group[0].event,
        window_s=group[0].window_s,
        count=count,
        lost=lost,
        min_ns=min(minima, default=None),
        max_ns=max(maxima, default=None),
        mean_ns=sum((one.mean_ns or 0.0) * one.count for one in filled) / count,
    )
    sketch = _sketch_of(one for one in detailed if one.count)
    if sketch is None or sketch.count != count:
        return whole
    return structs.replace(
        whole,
        p50_ns=sketch.quantile(50),
        p95_ns=sketch.quantile(95),
        p99_ns=sketch.quantile(99),
        p99_9_ns=sketch.quantile(99.9),
        sketch=sketch.to_bytes(),
    )


def _sketch_of(latencies: Iterable[Latency]) -> Sketch | None:
    """Of all of them together; None when one has no buckets, or none that can be read."""
    found = Sketch()
    for latency in latencies:
        if latency.sketch is None:
            return None
        try:
            found.merge(Sketch.from_bytes(latency.sketch))
        except SketchError:
            return None
    return found
