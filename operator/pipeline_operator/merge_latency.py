"""Percentiles of a stage from all its pods' buckets, each judged by the rule of the telemetry package."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.clock import NS_PER_MS, NS_PER_US
from pipeline.snapshot import Latency, Snapshot
from pipeline.telemetry.sketch import Sketch, SketchError
from pipeline.telemetry.sla import SLAThreshold, judge
from pipeline_operator import limits
from pipeline_operator.observation import WINDOWS_MS, LatencySignal, SlaVerdict
from pipeline_operator.plausible import Doubts
from pipeline_operator.spec import LatencySla, StageSpec


def merge_latency(stage: StageSpec, pairs: Sequence[tuple[Snapshot, Doubts]]) -> tuple[LatencySignal, ...]:
    """Every latency SLA of the stage over every window."""
    if not stage.slas.latency:
        return ()
    events = {sla.event for sla in stage.slas.latency}
    merged: dict[tuple[str, int], Sketch] = {}
    lost: dict[tuple[str, int], int] = {}
    for snapshot, doubt in pairs:
        for told in _told_of(stage.name, snapshot):
            key = (told.event, round(told.window_s * 1000) if 0 < told.window_s < 1e6 else 0)
            if told.event not in events or key[1] not in WINDOWS_MS:
                continue
            _add(merged.setdefault(key, Sketch()), told, doubt)
            if 0 <= told.lost <= limits.MAX_RATE_A_SECOND * key[1]:
                lost[key] = lost.get(key, 0) + told.lost
            else:
                doubt.note("lost", told.lost, "at least 0")
    return tuple(
        _signal(sla, window_ms, merged.get((sla.event, window_ms)), lost.get((sla.event, window_ms), 0))
        for sla in stage.slas.latency
        for window_ms in WINDOWS_MS
    )


def _told_of(stage: str, snapshot: Snapshot) -> Sequence[Latency]:
    return [latency for told in snapshot.stages if told.stage == stage for latency in told.latencies]


def _add(sketch: Sketch, told: Latency, doubts: Doubts) -> None:
    if told.sketch is None:
        if told.count:
            doubts.note(f"{told.event} without its buckets: count", told.count, "0")
        return
    try:
        sketch.merge(Sketch.from_bytes(told.sketch))
    except SketchError as error:
        doubts.note(f"{told.event}: sketch", error, "a sketch of this version")


def _signal(sla: LatencySla, window_ms: int, sketch: Sketch | None, lost: int) -> LatencySignal:
    verdict, count, value_us = SlaVerdict.UNKNOWN, 0, None
    if sketch is not None:
        # Event ids mean nothing here: the threshold is judged on this event's buckets alone.
        threshold = SLAThreshold(0, sla.percentile_basis_points / 100, sla.limit_ms * NS_PER_MS)
        result = judge(sketch.counts, threshold, window_ms / 1000, lost)
        verdict, count = SlaVerdict(result.verdict), result.count
        value_us = None if result.value_ns is None else result.value_ns // NS_PER_US
    return LatencySignal(
        event=sla.event,
        percentile_basis_points=sla.percentile_basis_points,
        limit_ms=sla.limit_ms,
        window_ms=window_ms,
        count=count,
        lost=lost,
        value_us=value_us,
        verdict=verdict,
    )
