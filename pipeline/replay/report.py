"""The report of a run: its shape. JSON first; text, Markdown and HTML are drawn from it alone.

Money, prices and quantities are decimal text, exact; times have their unit in their name. Versioned: a field
is only ever added, with a default.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from pipeline.machine import Machine

SCHEMA_VERSION = 1


class PnlLine(Struct, frozen=True, kw_only=True):
    """Profit and loss of one strategy in one symbol, marked at the symbol's last close.

    `net` = realised + unrealised − commission.
    """

    strategy: str
    symbol: str
    fills: int
    position: str
    realised: str
    unrealised: str
    commission: str
    net: str


class Equity(Struct, frozen=True, kw_only=True):
    """Net profit and loss over time, one point a bar at most, thinned for drawing."""

    strategy: str
    symbol: str
    dates: tuple[str, ...]
    net: tuple[str, ...]


class GoldenStep(Struct, frozen=True, kw_only=True):
    """One event of the golden path, over the whole run; percentiles are None where nothing was recorded.

    `share_percent` is its p95 in percent of the whole 45 ms reference budget, `reference_ms` what the
    reference spends on this step (None: the reference has no such step). `lost` records were dropped.
    """

    stage: str
    event: str
    count: int
    lost: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    p99_9_ms: float | None = None
    share_percent: float | None = None
    reference_ms: float | None = None


class Moment(Struct, frozen=True, kw_only=True):
    """What the run looked like at one moment: totals so far, and each stage's lag."""

    elapsed_s: float
    accepted: int
    audited: int
    lag_ms: dict[str, float] = {}


class ClientFigures(Struct, frozen=True, kw_only=True):
    """How posting went. Latencies are from the intended moment of sending to the 202."""

    requests_accepted: int
    repeated: int
    unconfirmed: int
    retries: dict[str, int]
    sending_s: float
    cpu_us_per_event: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None


class ProcessMemory(Struct, frozen=True, kw_only=True):
    """Memory of one process near the end of the run. PSS: shared pages divided among their users."""

    name: str
    pid: int
    pss_bytes: int
    rss_bytes: int


class WallTimes(Struct, frozen=True, kw_only=True):
    """Where the run's time went."""

    start_s: float
    """Until every worker was ready."""
    replay_s: float
    """First request sent until the last accepted event was audited."""
    verify_s: float
    total_s: float


class Report(Struct, frozen=True, kw_only=True):
    """Everything about one run.

    `accepted` events got a 202; `audited` of them have exactly one row; `missing` have none and `doubled`
    more than one. `duplicates` requests were answered as repeats of an accepted one. `rows` is the audit's
    length. `digest` is the run digest: equal for equal histories, whatever died on the way.
    """

    kind: Literal["run"] = "run"
    schema: int = SCHEMA_VERSION
    ok: bool
    faults: tuple[str, ...]
    """Why `ok` is false, one line each."""
    run_id: str
    started: str
    """RFC 3339, UTC."""
    source: str
    symbols: dict[str, int]
    """Candles planned, by symbol."""
    planned: int
    accepted: int
    audited: int
    missing: int
    doubled: int
    duplicates: int
    rows: int
    outcomes: dict[str, int]
    denials: dict[str, int]
    """Legs refused by a limit or failed, by reason code; a leg with two reasons counts under both."""
    orders: int
    fills: int
    pnl: tuple[PnlLine, ...]
    equity: tuple[Equity, ...] = ()
    golden_path: tuple[GoldenStep, ...]
    throughput_per_s: float
    """Audited events by `wall.replay_s`."""
    chain_verified: bool
    chain_detail: str = ""
    digest: str
    restarts: int = 0
    """Workers that died and were started again."""
    client: ClientFigures | None = None
    moments: tuple[Moment, ...] = ()
    memory: tuple[ProcessMemory, ...]
    wall: WallTimes
    machine: Machine
    versions: dict[str, str]


def encode_report(report: Report) -> bytes:
    """Indented JSON with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def decode_report(data: bytes) -> Report:
    """Raises msgspec.ValidationError or DecodeError when `data` is no report of ours."""
    return msgspec.json.decode(data, type=Report)
