"""What the protocol core needs to know: figures from the configuration and hooks for measuring."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from pipeline.clock import NS_PER_MS
from pipeline.config.schema import Links


class Timing(Struct, frozen=True):
    """The three timers of a link, nanoseconds, and its sizes."""

    heartbeat_ns: int
    dead_after_ns: int
    ask_again_ns: int
    credit: int
    depth: int

    @classmethod
    def of(cls, links: Links) -> Timing:
        return cls(
            heartbeat_ns=links.heartbeat_ms * NS_PER_MS,
            dead_after_ns=links.dead_after_ms * NS_PER_MS,
            ask_again_ns=links.ask_again_ms * NS_PER_MS,
            credit=links.credit,
            depth=links.depth,
        )


class Meter(Protocol):
    """Where a node reports what it measured. Telemetry's recorder fits; transport knows none of it."""

    def consumed(self, duration_ns: int, correlation: int) -> None:
        """From a message's arrival until its step begins."""

    def published(self, duration_ns: int, correlation: int) -> None:
        """From an output's completion until it is handed to the network."""

    def throttled(self, ordinal: int) -> None:
        """A message had to wait for the credit of downstream worker `ordinal`, or was refused by it."""

    def blocked(self, duration_ns: int) -> None:
        """There was output and no credit for it, for this long."""

    def malformed(self, frame: bytes) -> None:
        """These bytes arrived and are no frame."""


class NoMeter:
    """Measures nothing."""

    def consumed(self, duration_ns: int, correlation: int) -> None: ...

    def published(self, duration_ns: int, correlation: int) -> None: ...

    def throttled(self, ordinal: int) -> None: ...

    def blocked(self, duration_ns: int) -> None: ...

    def malformed(self, frame: bytes) -> None: ...


def correlation_of(event_id: bytes) -> int:
    """The 32 bits of an event's identity that fit a telemetry entry."""
    return int.from_bytes(event_id[:4])
