"""What the gateway keeps of one key: its events that are not settled, in order, and which is sent next."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from pipeline.delivery import Delivery


class Pending(Struct, gc=False):
    """An event that is not settled. `accepted_ns` is on the gateway's monotonic clock."""

    delivery: Delivery
    accepted_ns: int
    enqueued_ns: int
    """When it was synced and could have been sent."""
    published: bool = False
    """Sent at least once; whatever survived a restart counts as sent."""
    control: bool = False
    resent: bool = False
    """It was settled before, and the audit has lost it."""


class KeyLine:
    """One key's line of unsettled events: key_seqs `first` … `first + len(line) − 1`."""

    __slots__ = (
        "awaiting_fate",
        "first",
        "hold_until_ns",
        "line",
        "mark",
        "next",
        "queued",
        "throttled",
        "tries",
    )

    def __init__(self, first: int) -> None:
        self.first = first
        self.next = first
        self.line: deque[Pending] = deque()
        self.hold_until_ns = 0
        self.tries = 0
        self.mark = 0
        self.queued = False
        self.throttled = 0
        """Up to this key_seq events have waited for credit and were counted for it."""
        self.awaiting_fate = 0
        """The key_seq whose fate is on its way to the journal; nothing is sent meanwhile."""

    @property
    def last(self) -> int:
        return self.first + len(self.line) - 1

    def pending(self, key_seq: int) -> Pending | None:
        index = key_seq - self.first
        return self.line[index] if 0 <= index < len(self.line) else None
