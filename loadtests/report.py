"""The report of a test: JSON first, versioned; everything else is drawn from it."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from loadtests.facts import Change, Facts
from loadtests.gates import Verdict
from pipeline.errors import MissingError, UsageError

SCHEMA = "ringline.loadtest"
SCHEMA_VERSION = 1


class Figures(Struct, frozen=True, kw_only=True):
    """Percentiles of one latency, ms."""

    name: str
    count: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    p99_9_ms: float | None = None
    max_ms: float | None = None


class StageFigures(Struct, frozen=True, kw_only=True):
    """One event of one stage, from the collector, since it started."""

    event: str
    count: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class Point(Struct, frozen=True, kw_only=True):
    """One second of the test, for plots."""

    elapsed_s: float
    users: int
    planned: float
    met: int
    shed: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class StagePoint(Struct, frozen=True, kw_only=True):
    """One look at the collector, for plots."""

    elapsed_s: float
    lag_ms: dict[str, float]
    depth: dict[str, int]
    replicas: dict[str, int]
    end_to_end_p95_ms: float | None


class MemoryPoint(Struct, frozen=True, kw_only=True):
    elapsed_s: float
    memory_bytes: int


class Report(Struct, frozen=True, kw_only=True):
    """Everything. `ok`: no gate is violated. A field is only ever added, with a default."""

    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION
    ok: bool
    exit_code: int
    headline: str
    started: str
    """UTC, RFC 3339."""
    run: str
    target: str
    started_by_test: bool
    generators: int
    machine: dict[str, str]
    versions: dict[str, str]
    facts: Facts
    verdicts: tuple[Verdict, ...]
    latencies: tuple[Figures, ...] = ()
    stages: tuple[StageFigures, ...] = ()
    statuses: dict[str, int] = {}
    faults: dict[str, int] = {}
    kinds: dict[str, int] = {}
    retries: int = 0
    given_up: int = 0
    lag_peak_ms: dict[str, float] = {}
    backlog_peak: dict[str, int] = {}
    flow_throttled: int = 0
    trade_throttled: int = 0
    generator_cpu_percent: float | None = None
    points: tuple[Point, ...] = ()
    stage_points: tuple[StagePoint, ...] = ()
    changes: tuple[Change, ...] = ()
    """Of the embedded autoscaler, while the test ran."""
    journal_bytes_an_event: float | None = None
    audit_bytes_an_event: float | None = None
    """Of a pipeline that the test started: what is on disk by what was audited; None: not known."""
    memory: dict[str, tuple[MemoryPoint, ...]] = {}


def encode(report: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def read_report(path: Path) -> Report:
    """A report's file, or a folder with its `report.json`. Raises MissingError or UsageError."""
    file = path / "report.json" if path.is_dir() else path
    try:
        report = msgspec.json.decode(file.read_bytes(), type=Report)
    except OSError as error:
        raise MissingError(f"report {file}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"report {file}: is none of a load test: {error}") from None
    if report.schema != SCHEMA or report.schema_version > SCHEMA_VERSION:
        raise UsageError(
            f"report {file}: {report.schema} {report.schema_version}; known: {SCHEMA} {SCHEMA_VERSION}"
        )
    return report
