from __future__ import annotations

import pytest

from pipeline.machine import Machine
from pipeline.replay.golden_path import golden_path
from pipeline.replay.report import (
    ClientFigures,
    Equity,
    Moment,
    PnlLine,
    ProcessMemory,
    Report,
    WallTimes,
)
from pipeline.snapshot import Counts, Latency, Replica, Snapshot, Stage


def latency(event: str, window_s: float, p95_ns: int = 2_000_000) -> Latency:
    return Latency(
        event=event, window_s=window_s, count=500, p50_ns=p95_ns // 2, p95_ns=p95_ns, p99_ns=2 * p95_ns,
        p99_9_ns=3 * p95_ns,
    )  # fmt: skip


@pytest.fixture
def snapshot() -> Snapshot:
    counts = (Counts(window_s=5.0, handled=1000, trade_throttled=7, blocked_ms=50.0),)
    return Snapshot(
        taken_us=1,
        uptime_s=12.0,
        stages=(
            Stage(stage="gateway", lag_ms=None, depth=0, counts=counts, latencies=()),
            Stage(stage="agent", lag_ms=3.25, depth=4, counts=counts, latencies=()),
        ),
        replicas=(
            Replica(
                stage="agent", ordinal=0, name="agent-0", age_ms=10.0, cpu_percent=41.0, memory_bytes=40 << 20
            ),
        ),
        latencies=(latency("END_TO_END", 5.0), latency("AGENT_DECISION", 5.0), latency("END_TO_END", 60.0)),
        totals=(latency("END_TO_END", 12.0), latency("SIGNATURE_CHECK", 12.0, 30_000)),
        outcomes={"held": 900, "filled": 12},
    )


@pytest.fixture
def report(snapshot: Snapshot) -> Report:
    return Report(
        ok=True,
        faults=(),
        run_id="2026-01-02T03-04-05Z",
        started="2026-01-02T03:04:05Z",
        source="daily bars",
        symbols={"AAPL": 2},
        planned=2,
        accepted=2,
        audited=2,
        missing=0,
        doubled=0,
        duplicates=0,
        rows=2,
        outcomes={"held": 1, "filled": 1},
        denials={"THROTTLE_MAX_TRADES": 3, "THROTTLE_COOLDOWN": 5},
        orders=1,
        fills=1,
        pnl=(
            PnlLine(
                strategy="sma", symbol="AAPL", fills=1, position="100.0000", realised="12.50",
                unrealised="-2.00", commission="0.75", net="9.75",
            ),
        ),
        equity=(
            Equity(strategy="sma", symbol="AAPL", dates=("2000-03-01", "2000-03-02"), net=("0", "9.75")),
        ),
        golden_path=golden_path(snapshot.totals),
        throughput_per_s=2345.6,
        chain_verified=True,
        digest="ab" * 32,
        client=ClientFigures(
            requests_accepted=2, repeated=0, unconfirmed=0, retries={"503": 4}, sending_s=1.5,
            cpu_us_per_event=16.0, p50_ms=1.0, p95_ms=2.0, p99_ms=3.0, max_ms=4.0,
        ),
        moments=(
            Moment(elapsed_s=0.0, accepted=0, audited=0, lag_ms={"agent": 0.0}),
            Moment(elapsed_s=0.5, accepted=1, audited=0, lag_ms={"agent": 2.0}),
            Moment(elapsed_s=1.0, accepted=2, audited=2, lag_ms={"agent": 1.0}),
        ),
        memory=(ProcessMemory(name="agent-0", pid=1, pss_bytes=30 << 20, rss_bytes=40 << 20),),
        wall=WallTimes(start_s=0.8, replay_s=1.1, verify_s=0.1, total_s=2.2),
        machine=Machine(system="Linux", cpu="some <CPU>", cpus=2, memory_bytes=4 << 30),
        versions={"python": "3.11.2"},
    )  # fmt: skip
