"""The golden path, webhook to audit: its steps in order, beside what the reference spends on each."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.clock import NS_PER_MS
from pipeline.replay.report import GoldenStep
from pipeline.snapshot import Latency

REFERENCE_MS = 45.0
"""Webhook to audit, the sum of the steps below."""

STEPS: tuple[tuple[str, str, float | None], ...] = (
    ("gateway", "GATEWAY_RECEIVE", 2.0),
    ("gateway", "SIGNATURE_CHECK", 3.0),
    ("gateway", "IDEMPOTENCY_CHECK", 1.0),
    ("gateway", "JOURNAL_WRITE", None),
    ("gateway", "GATEWAY_PUBLISH", 4.0),
    ("agent", "AGENT_CONSUME", 5.0),
    ("agent", "AGENT_DECISION", 8.0),
    ("agent", "AGENT_PUBLISH", 4.0),
    ("exec", "EXEC_CONSUME", 5.0),
    ("exec", "FILL_GENERATION", 2.0),
    ("exec", "FILL_PUBLISH", 4.0),
    ("audit", "AUDIT_WRITE", 7.0),
    ("all", "END_TO_END", REFERENCE_MS),
)
"""(stage, event, reference ms). The reference has no journal; END_TO_END is accept to settled."""

assert sum(ms or 0.0 for stage, _, ms in STEPS if stage != "all") == REFERENCE_MS


def golden_path(latencies: Iterable[Latency]) -> tuple[GoldenStep, ...]:
    """Every step, also one that recorded nothing. `latencies` are of one window (a snapshot's totals)."""
    by_event = {latency.event: latency for latency in latencies}
    return tuple(_step(stage, event, ms, by_event.get(event)) for stage, event, ms in STEPS)


def _step(stage: str, event: str, reference_ms: float | None, latency: Latency | None) -> GoldenStep:
    if latency is None or not latency.count:
        return GoldenStep(stage=stage, event=event, count=0, reference_ms=reference_ms)
    p95_ms = _ms(latency.p95_ns)
    return GoldenStep(
        stage=stage,
        event=event,
        count=latency.count,
        lost=latency.lost,
        p50_ms=_ms(latency.p50_ns),
        p95_ms=p95_ms,
        p99_ms=_ms(latency.p99_ns),
        p99_9_ms=_ms(latency.p99_9_ns),
        share_percent=None if p95_ms is None else 100 * p95_ms / REFERENCE_MS,
        reference_ms=reference_ms,
    )


def _ms(value_ns: int | None) -> float | None:
    return None if value_ns is None else value_ns / NS_PER_MS
