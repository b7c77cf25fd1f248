"""What a collector answers on `/v1/snapshot`: the one view of a pipeline that people, the live view and
the autoscaler share. Versioned: a field is only ever added, with a default.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

SCHEMA_VERSION = 1


class Latency(Struct, frozen=True, kw_only=True):
    """Percentiles of one event over one window, nanoseconds; None where nothing was recorded.

    `lost` counts calls whose records were lost in the window: with any, the percentiles understate the tail.
    """

    event: str
    window_s: float
    count: int
    lost: int = 0
    p50_ns: int | None = None
    p95_ns: int | None = None
    p99_ns: int | None = None
    p99_9_ns: int | None = None
    min_ns: int | None = None
    max_ns: int | None = None
    mean_ns: float | None = None
    sketch: bytes | None = None
    """The buckets themselves (telemetry.sketch, base64 in JSON), where they were asked for: to be merged with
    other pods', since percentiles cannot be."""


class Counts(Struct, frozen=True, kw_only=True):
    """What a worker did within a window.

    `flow_throttled` messages waited for this worker's credit or were refused for lack of capacity;
    `trade_throttled` were refused by a risk limit; `blocked_ms` is time with output and no credit for it.
    """

    window_s: float
    handled: int = 0
    flow_throttled: int = 0
    trade_throttled: int = 0
    shed: int = 0
    blocked_ms: float = 0.0


class Replica(Struct, frozen=True, kw_only=True):
    """One worker of a stage.

    `age_ms` is the time since its last sign of life. `lag_ms` is the age of the oldest message destined
    for it and not done, taken by its senders; None where nobody sends to it (the gateway). `depth` is its
    own queue, `credit` what its senders still hold of its credit.
    """

    stage: str
    ordinal: int
    name: str
    age_ms: float
    lag_ms: float | None = None
    depth: int = 0
    credit: int | None = None
    cpu_percent: float | None = None
    memory_bytes: int | None = None
    counts: tuple[Counts, ...] = ()


class Stage(Struct, frozen=True, kw_only=True):
    """A stage: its lag is the worst of its replicas', its counts their sum."""

    stage: str
    lag_ms: float | None
    depth: int
    counts: tuple[Counts, ...]
    latencies: tuple[Latency, ...]


class Dead(Struct, frozen=True, kw_only=True):
    """A worker that died, and what it was in the middle of."""

    name: str
    pid: int
    silent_ms: float
    """From its last heartbeat to its death's discovery."""
    inside: tuple[str, ...] = ()
    """Open STARTs: event names, the innermost last."""
    age_ms: float = 0.0
    """How long ago that was."""


class Sla(Struct, frozen=True, kw_only=True):
    """A wanted percentile, judged over one window: met, violated or unknown (pipeline.telemetry.sla)."""

    event: str
    percentile: float
    limit_ns: int
    window_s: float
    verdict: str
    count: int
    lost: int = 0
    value_ns: int | None = None


class Snapshot(Struct, frozen=True, kw_only=True):
    """Everything one collector knows at one moment."""

    schema: int = SCHEMA_VERSION
    taken_us: int
    """Wall clock, microseconds."""
    uptime_s: float
    stages: tuple[Stage, ...]
    replicas: tuple[Replica, ...]
    latencies: tuple[Latency, ...]
    """Every event over every window, all workers together."""
    totals: tuple[Latency, ...] = ()
    """Every event since the collector started (window_s = its uptime)."""
    outcomes: dict[str, int] = {}
    """Rows by outcome since the collector started."""
    lost: int = 0
    """Records dropped by writers since the collector started."""
    dead: tuple[Dead, ...] = ()
    slas: tuple[Sla, ...] = ()
    brief: bool = False
    """Without latencies and verdicts, as it was asked for."""


_decoder = msgspec.json.Decoder(Snapshot)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    return msgspec.json.encode(snapshot)


def decode_snapshot(data: bytes) -> Snapshot:
    """Raises msgspec.DecodeError or UnicodeDecodeError when `data` is no snapshot of ours."""
    return _decoder.decode(data)
