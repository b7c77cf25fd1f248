"""What the page and `ringline top` show of a pipeline at one moment: the shapes. Units end the names.

A field is only ever added, with a default.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

HAPPENED = "".join(
    f"&outcome={name}" for name in ("filled", "placed", "rejected", "expired", "dead_lettered", "control")
)
"""Which rows the page, `ringline top` and their bench ask for, as it stands in a query."""


class StageView(Struct, frozen=True, kw_only=True):
    """A stage over 5 s. `blocked_percent` is time with output and no credit for it, by replica."""

    stage: str
    replicas: int
    lag_ms: float | None
    depth: int
    handled_per_s: float
    blocked_percent: float
    flow_throttled: int
    trade_throttled: int
    shed: int


class ReplicaView(Struct, frozen=True, kw_only=True):
    """One worker; `age_ms` is the time since its last sign of life."""

    name: str
    stage: str
    age_ms: float
    lag_ms: float | None
    depth: int
    credit: int | None
    cpu_percent: float | None
    memory_mb: float | None
    handled_per_s: float
    blocked_percent: float


class LinkView(Struct, frozen=True, kw_only=True):
    """One link as its sender tells it. `state` is up, down, leaving or, where the sender has fallen silent,
    stale; `blocked` means no credit left while something is in flight."""

    sender: str
    receiver: str
    state: str
    rate_per_s: float | None
    lag_ms: float | None
    credit: int
    free: int
    in_flight: int
    blocked: bool
    age_ms: float


class StepView(Struct, frozen=True, kw_only=True):
    """One step of the golden path. `verdict` compares p95 with `budget_ms`: met, over, or unknown where
    nothing was recorded, records were lost or there is no budget."""

    stage: str
    event: str
    count: int
    lost: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    budget_ms: float | None
    verdict: str


class Point(Struct, frozen=True, kw_only=True, array_like=True):
    """One moment of the plots: END_TO_END over 5 s, and the worst lag of each stage after the gateway."""

    number: int
    at_ms: int
    """Wall clock."""
    count: int
    lost: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    rate_per_s: float
    lag_ms: tuple[float | None, ...]
    """In the order of `LAGGING`."""


LAGGING = ("agent", "exec", "audit")


class Frame(Struct, frozen=True, kw_only=True):
    """Everything at one moment. `age_ms` is how old the collector's word is; `fault` why there is none."""

    schema: int = 1
    number: int
    taken_ms: int
    sent_ms: int
    age_ms: float | None
    fault: str = ""
    uptime_s: float = 0.0
    stages: tuple[StageView, ...] = ()
    replicas: tuple[ReplicaView, ...] = ()
    links: tuple[LinkView, ...] = ()
    dead: tuple[str, ...] = ()
    """What died not long ago, and inside of what: a sentence each."""
    lost: int = 0
    decisions: tuple[dict[str, str], ...] = ()
    """The autoscaler's newest, the last one first: `at` and `sentence`."""
    standing: tuple[str, ...] = ()
    """The controls that every key first seen from now on begins under, as `halt: reason`."""


class Steps(Struct, frozen=True, kw_only=True):
    """The golden path: over 60 s, and since the collector started. Told once a second."""

    minute: tuple[StepView, ...]
    whole: tuple[StepView, ...]


class BookView(Struct, frozen=True, kw_only=True):
    """What the audit adds up to, as of row `seq` of `head`; amounts are exact decimals.

    `since` is the first row counted: not 1 where rows were pruned before.
    """

    schema: int = 1
    seq: int = 0
    head: int = 0
    since: int = 1
    outcomes: dict[str, int] = {}
    denials: dict[str, int] = {}
    """Legs and events refused, by the code of the reason, of all rows counted."""
    lines: tuple[dict[str, Any], ...] = ()
    throttles: tuple[dict[str, Any], ...] = ()
    """One payload a throttle and scope (trading.throttle_view), those that hold first, with `as_of`: a key's
    own clock at its last event."""
    lines_left_out: int = 0
    throttles_left_out: int = 0
    halted: tuple[str, ...] = ()
    """Keys that may not enter."""
    halted_count: int = 0
    keys: int = 0
    keys_due: int = 0
    """Whose throttles, halts and marks are still to be read."""
    fault: str = ""
    """Why some key's state is not told."""
    away: str = ""
    """Why nothing newer is known: the audit cannot be read."""
