"""How an event ended. Apart from `messages`, so that telemetry by itself needs no message library."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """The first of these that applies."""

    FILLED = "filled"
    PLACED = "placed"
    REJECTED = "rejected"
    HELD = "held"
    EXPIRED = "expired"
    DEAD_LETTERED = "dead_lettered"
