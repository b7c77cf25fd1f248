"""Latency telemetry: record for about the price of reading the clock, in a ring of shared memory that a
collector drains.

    layout, writer, ring      the bytes, how they are written, the files (no numpy)
    recorder, self_report     what a worker thread calls
    events                    what is measured
"""

from __future__ import annotations

from pipeline.telemetry.events import NEXT_STAGE, STAGES, EventID, event_name
from pipeline.telemetry.recorder import (
    ListRecorder,
    NullRecorder,
    Recorder,
    open_recorder,
    telemetry_directory,
)
from pipeline.telemetry.self_report import SelfReport

__all__ = [
    "NEXT_STAGE",
    "STAGES",
    "EventID",
    "ListRecorder",
    "NullRecorder",
    "Recorder",
    "SelfReport",
    "event_name",
    "open_recorder",
    "telemetry_directory",
]
