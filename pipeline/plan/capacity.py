"""What a plan starts from: what an event costs each stage, in processor time, memory and bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from pipeline.errors import MissingError, UsageError

STAGES = ("gateway", "agent", "exec", "audit")
SCHEMA = "ringline.capacity"


class StageCapacity(Struct, frozen=True, kw_only=True):
    """One stage. A worker is one thread: it does at most one event per `cpu_us`."""

    cpu_us: float
    """Processor time of an event, µs."""
    memory_bytes: int
    """Of one worker under load, proportional."""

    @property
    def per_s(self) -> float:
        """Events a second of one worker whose core is its own."""
        return 1e6 / self.cpu_us


class Capacity(Struct, frozen=True, kw_only=True):
    """Measured at one place. Times in ms."""

    schema: str = SCHEMA
    source: str
    """Where the figures are from, for people."""
    events: int
    """That they are of."""
    stages: dict[str, StageCapacity]
    beside_bytes: int = 0
    """Memory of what is there once: collector, feed, supervisor."""
    journal_bytes: float | None = None
    """Of an event; None: not measured."""
    audit_bytes: float | None = None
    journal_commit_ms: float = 0.0
    """Until the disk has a commit: events wait for it, and go on, in batches."""
    audit_commit_ms: float = 0.0


def read_capacity(file: Path) -> Capacity:
    """From a plan's JSON, a capacity's, or a load test's report. Raises MissingError or UsageError."""
    path = file / "report.json" if file.is_dir() else file
    try:
        found: Any = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise MissingError(f"--figures {path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--figures {path}: {error}") from None
    schema = found.get("schema") if isinstance(found, dict) else None
    try:
        if schema == "ringline.loadtest":
            return _of_loadtest(found, str(path))
        if schema == "ringline.plan":
            found = found["capacity"]
        capacity = msgspec.convert(found, Capacity)
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise UsageError(f"--figures {path}: {error}; expected a plan, or a load test's report") from None
    if capacity.schema != SCHEMA or any(name not in capacity.stages for name in STAGES):
        raise UsageError(f"--figures {path}: no capacity of {', '.join(STAGES)}")
    return capacity


def _of_loadtest(found: dict[str, Any], where: str) -> Capacity:
    """CPU over the whole test by what was audited: idle seconds count too, so it rather says too much."""
    facts = found["facts"]
    events, ran_s = facts["audited"]["rows"], facts["ending"]["ran_s"]
    if events <= 0 or ran_s <= 0:
        raise ValueError("nothing was audited in it")
    cpu_us = dict.fromkeys(STAGES, 0.0)
    memory = dict.fromkeys(STAGES, 0)
    beside = 0
    for process in facts["processes"]:
        stage, peak = process["name"].partition("-")[0], process["memory_peak_bytes"] or 0
        if stage not in cpu_us:
            beside += peak
            continue
        cpu_us[stage] += (process["cpu_mean_percent"] or 0.0) / 100 * ran_s * 1e6 / events
        memory[stage] = max(memory[stage], peak)
    if not all(cpu_us.values()):
        raise ValueError("it holds no CPU of every stage")
    medians = {one["event"]: one["p50_ms"] or 0.0 for one in found.get("stages", ())}
    return Capacity(
        source=f"load test {where}",
        events=events,
        stages={name: StageCapacity(cpu_us=cpu_us[name], memory_bytes=memory[name]) for name in STAGES},
        beside_bytes=beside,
        journal_bytes=found.get("journal_bytes_an_event"),
        audit_bytes=found.get("audit_bytes_an_event"),
        journal_commit_ms=medians.get("JOURNAL_WRITE", 0.0),
        audit_commit_ms=medians.get("AUDIT_WRITE", 0.0),
    )
