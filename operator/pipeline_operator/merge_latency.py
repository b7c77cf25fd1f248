"""Percentiles of a stage from all its pods' buckets, each judged by the rule of the telemetry package."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.clock import NS_PER_MS, NS_PER_US
from pipeline.telemetry.sketch import Packed, Sketch
from pipeline.telemetry.sla import SLAThreshold, judge
from pipeline_operator.digest import Word
from pipeline_operator.observation import WINDOWS_MS, LatencySignal, SlaVerdict
from pipeline_operator.spec import LatencySla, StageSpec


def merge_latency(stage: StageSpec, words: Iterable[Word]) -> tuple[LatencySignal, ...]:
    """Every latency SLA of the stage over every window."""
    if not stage.slas.latency:
        return ()
    packed: dict[tuple[str, int], list[Packed]] = {}
    lost: dict[tuple[str, int], int] = {}
    for word in words:
        for told in word.buckets:
            key = (told.event, told.window_ms)
            packed.setdefault(key, []).extend([told.packed] if told.packed is not None else [])
            lost[key] = lost.get(key, 0) + told.lost
    merged: dict[tuple[str, int], Sketch] = {}
    for key, some in packed.items():
        merged[key] = Sketch()
        merged[key].merge_packed(*some)
    return tuple(
        _signal(sla, window_ms, merged.get((sla.event, window_ms)), lost.get((sla.event, window_ms), 0))
        for sla in stage.slas.latency
        for window_ms in WINDOWS_MS
    )


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
