"""The golden path, webhook to audit: its steps in order, beside what the reference spends on each."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.clock import NS_PER_MS
from pipeline.golden_steps import REFERENCE_MS, STEPS
from pipeline.replay.report import GoldenStep
from pipeline.snapshot import Latency

__all__ = ["REFERENCE_MS", "STEPS", "golden_path"]


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
