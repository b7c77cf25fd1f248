"""What a worker holds of one key, and one message on its way through it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from pipeline.delivery import Delivery
from pipeline.transport.uplinks import Uplink


class Work(Struct, gc=False):
    """A received message on its way through this worker."""

    link: Uplink
    link_seq: int
    delivery: Delivery
    since_ns: int
    """First when it arrived, then when its output was complete."""
    throttled: bool = False

    @property
    def wanted(self) -> bool:
        return self.link.holds(self.delivery.key, self.link_seq)


class Key:
    """What is held of one key: the state after `position`, or questions that wait for it."""

    __slots__ = ("asked_at", "away", "position", "queue", "settled", "settled_id", "state", "waiting")

    def __init__(self) -> None:
        self.away = False
        """Its next event is at the venue; what comes after it waits, so that the key keeps its order."""
        self.position = -1
        self.settled = 0
        self.asked_at = 0
        """What `settled` was when the open question was asked for the first time."""
        self.settled_id = b""
        self.waiting = False
        self.queue: list[Work] = []
        self.state: Any = None
