"""Where the gateway's latencies go: any recorder of `pipeline.telemetry`, or none."""

from __future__ import annotations

from typing import Protocol

from pipeline.telemetry.events import EventID

GATEWAY_RECEIVE = int(EventID.GATEWAY_RECEIVE)
"""A request that ends in 202, from its first look to its answer."""
SIGNATURE_CHECK = int(EventID.SIGNATURE_CHECK)
IDEMPOTENCY_CHECK = int(EventID.IDEMPOTENCY_CHECK)
"""Fingerprint and lookup."""
JOURNAL_WRITE = int(EventID.JOURNAL_WRITE)
"""Appended to synced."""


class Recorder(Protocol):
    """Ids as `pipeline.telemetry.events` numbers them."""

    def record(self, event_id: int, duration_ns: int, correlation: int = 0) -> None: ...


class NoRecorder:
    """Measures nothing."""

    def record(self, event_id: int, duration_ns: int, correlation: int = 0) -> None:
        """Drops it."""
