"""Makes the report of what a run did and what its audit says."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from pipeline.clock import NS_PER_S, US_PER_S
from pipeline.machine import machine, versions
from pipeline.replay.audit_view import Verified
from pipeline.replay.facts import Facts, Match
from pipeline.replay.golden_path import golden_path
from pipeline.replay.history import SOURCE, History
from pipeline.replay.report import ClientFigures, Moment, ProcessMemory, Report, WallTimes
from pipeline.replay.spec import Result
from pipeline.snapshot import Snapshot


class Course:
    """How a run went: filled in as it goes, so that whatever ends it early leaves what was known."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.started_at = datetime.now(UTC)
        self.started_s = time.monotonic()
        self.ready_s = 0.0
        self.verify_s = 0.0
        self.last_row_ns = 0
        """When the last row was seen, CLOCK_MONOTONIC."""
        self.result: Result | None = None
        self.snapshot: Snapshot | None = None
        self.restarts = 0
        self.memory: tuple[ProcessMemory, ...] = ()
        self.moments: tuple[Moment, ...] = ()
        self.faults: list[str] = []
        self.exit_code = 0
        """Of the error that ended it; 0: none did."""

    @property
    def replay_s(self) -> float:
        """First request sent until the last row was seen."""
        if self.result is None or not self.result.first_sent_ns:
            return 0.0
        return max(0, self.last_row_ns - self.result.first_sent_ns) / NS_PER_S


def build_report(course: Course, planned: History, facts: Facts, match: Match, verified: Verified) -> Report:
    result = course.result
    accepted = result.total if result is not None else 0
    faults = [*course.faults, *match.faults()]
    if not verified.ok:
        faults.append(f"the audit chain does not verify: {verified.detail}")
    snapshot = course.snapshot
    return Report(
        ok=not faults,
        faults=tuple(faults),
        run_id=course.run_id,
        started=course.started_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        source=SOURCE,
        symbols={symbol: len(candles) for symbol, candles in planned.items()},
        planned=sum(map(len, planned.values())),
        accepted=accepted,
        audited=match.audited,
        missing=match.missing,
        doubled=match.doubled,
        duplicates=result.repeated if result is not None else 0,
        rows=facts.rows,
        outcomes=dict(facts.outcomes.most_common()),
        denials=dict(facts.denials.most_common()),
        orders=facts.orders,
        fills=facts.fills,
        pnl=facts.pnl(),
        equity=facts.equity(),
        golden_path=golden_path(snapshot.totals if snapshot is not None else ()),
        throughput_per_s=round(match.audited / course.replay_s, 1) if course.replay_s else 0.0,
        chain_verified=verified.ok,
        chain_detail=verified.detail,
        digest=verified.digest,
        restarts=course.restarts,
        client=_client(result) if result is not None else None,
        moments=course.moments,
        memory=course.memory,
        wall=WallTimes(
            start_s=round(course.ready_s, 3),
            replay_s=round(course.replay_s, 3),
            verify_s=round(course.verify_s, 3),
            total_s=round(time.monotonic() - course.started_s, 3),
        ),
        machine=machine(),
        versions=versions(),
    )


def _client(result: Result) -> ClientFigures:
    times = result.times
    return ClientFigures(
        requests_accepted=result.total,
        repeated=result.repeated,
        unconfirmed=result.unconfirmed,
        retries=result.retries,
        sending_s=round(result.elapsed_s, 3),
        cpu_us_per_event=round(result.cpu_s / result.total * US_PER_S, 1) if result.total else None,
        p50_ms=times.p50_ms,
        p95_ms=times.p95_ms,
        p99_ms=times.p99_ms,
        max_ms=times.max_ms,
    )
