"""Where the gateway's latencies go: any recorder of `pipeline.telemetry`, or none."""

from __future__ import annotations

from typing import Protocol

GATEWAY_RECEIVE = 9
"""A request that ends in 202, from its first look to its answer."""
SIGNATURE_CHECK = 10
IDEMPOTENCY_CHECK = 11
"""Fingerprint and lookup."""
JOURNAL_WRITE = 12
"""Appended to synced."""


class Recorder(Protocol):
    """Ids as `pipeline.telemetry.events` numbers them."""

    def record(self, event_id: int, duration_ns: int, correlation: int = 0) -> None: ...


class NoRecorder:
    """Measures nothing."""

    def record(self, event_id: int, duration_ns: int, correlation: int = 0) -> None:
        """Drops it."""
