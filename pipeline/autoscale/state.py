"""What the embedded autoscaler says of itself in `data_dir/run/autoscale.json`: for `ringline status`, and
for whoever measures it. Versioned: a field is only ever added, with a default.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

SCHEMA_VERSION = 1


class Change(Struct, frozen=True, kw_only=True):
    """One change of one stage's workers. Times are wall clock in microseconds; None: not yet, or never."""

    stage: str
    before: int
    after: int
    decided_us: int
    breach_us: int | None = None
    """Since when its SLA was violated, which may be after a decision that came in time; None: it was not."""
    ready_us: int | None = None
    """When all it asked for were ready, or those that had to leave were gone."""
    met_us: int | None = None
    """When every SLA of the stage was met again."""
    sentence: str = ""


class StageState(Struct, frozen=True, kw_only=True):
    """One stage at the last decision."""

    stage: str
    least: int
    most: int
    workers: int
    """Asked for."""
    ready: int
    lag_ms: int | None = None
    capacity_per_s: float | None = None
    """What one worker can do, as learned."""
    sentence: str = ""


class AutoscaleState(Struct, frozen=True, kw_only=True):
    """The autoscaler's last decision, and its changes since the pipeline started."""

    schema: int = SCHEMA_VERSION
    at_us: int
    mode: str
    sentence: str
    stages: tuple[StageState, ...]
    conditions: dict[str, str] = {}
    """Of those that are true, the message by type."""
    changes: tuple[Change, ...] = ()
    """Oldest first, the last hundred."""
    records: str = ""
    """The file with all decision records."""


def state_file(data_dir: str) -> Path:
    return Path(data_dir) / "run" / "autoscale.json"


def read_state(data_dir: str) -> AutoscaleState | None:
    """None when there is none, or it is of another version."""
    try:
        found = msgspec.json.decode(state_file(data_dir).read_bytes(), type=AutoscaleState)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if found.schema == SCHEMA_VERSION else None
