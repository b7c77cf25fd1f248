"""Latency telemetry: record for a few times the price of reading the clock, in a ring of shared memory
that a collector drains.

    events                          what is measured
    layout, writer, ring            the bytes of a ring, how they are written, its file
    native, _fast.c                 the same and what is below in C, where it was built
    recorder, spans, self_report    what a worker thread calls
    metrics, calls, measure, ...    the same for a process that aggregates for itself
    reader, source, aggregate       batches of proven entries, and what they add up to
    sketch, windows, latencies, counters, sla, stats
    discovery, collector            every ring of a directory, drained and buried
    view, prometheus, stream, exporter, service    what is served

Recording imports no numpy; what reads does, so the reading names below are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pipeline.telemetry.correlation import correlate, correlation_of
from pipeline.telemetry.events import NEXT_STAGE, STAGES, EventID, event_name
from pipeline.telemetry.measure import measure, measure_async, measure_sync
from pipeline.telemetry.metrics import MetricsCollector
from pipeline.telemetry.names import register_event
from pipeline.telemetry.probes import LoopProbe, watch_event_loop, watch_gc
from pipeline.telemetry.recorder import (
    ListRecorder,
    NullRecorder,
    Recorder,
    open_recorder,
    telemetry_directory,
)
from pipeline.telemetry.self_report import SelfReport

if TYPE_CHECKING:
    from pipeline.telemetry.service import run_collector
    from pipeline.telemetry.sketch import Sketch
    from pipeline.telemetry.sla import SLAResult, SLAThreshold, Verdict
    from pipeline.telemetry.stats import MetricsStats, PercentileStats

__all__ = [
    "NEXT_STAGE",
    "STAGES",
    "EventID",
    "ListRecorder",
    "LoopProbe",
    "MetricsCollector",
    "MetricsStats",
    "NullRecorder",
    "PercentileStats",
    "Recorder",
    "SLAResult",
    "SLAThreshold",
    "SelfReport",
    "Sketch",
    "Verdict",
    "correlate",
    "correlation_of",
    "event_name",
    "measure",
    "measure_async",
    "measure_sync",
    "open_recorder",
    "register_event",
    "run_collector",
    "telemetry_directory",
    "watch_event_loop",
    "watch_gc",
]

_LOADED_WHEN_USED = {
    "MetricsStats": "stats",
    "PercentileStats": "stats",
    "SLAResult": "sla",
    "SLAThreshold": "sla",
    "Sketch": "sketch",
    "Verdict": "sla",
    "run_collector": "service",
}


def __getattr__(name: str) -> Any:
    if name in _LOADED_WHEN_USED:
        return getattr(importlib.import_module(f"{__name__}.{_LOADED_WHEN_USED[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
