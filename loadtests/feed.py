"""The feed as a client follows it: every row's number is one more than that of the row before. Pure."""

from __future__ import annotations

import msgspec
from msgspec import Struct


class Message(Struct):
    """What is of interest in a message of the feed; `start` is of its first, `next` of heartbeats.

    `missed` is ours: rows left out before this one.
    """

    type: str
    seq: int = 0
    start: int = 0
    next: int = 0
    sent_us: int = 0
    missed: int = 0


_decode = msgspec.json.Decoder(Message).decode


class Follower:
    """Knows which row is `next` (0: not yet)."""

    def __init__(self) -> None:
        self.next = 0

    def take(self, text: str | bytes) -> Message:
        """The message. Without a filter every number must come: one that does not was missed."""
        message = _decode(text)
        if message.type == "hello" and not self.next:
            self.next = message.start
        elif message.type == "row":
            message.missed = abs(message.seq - self.next)
            self.next = message.seq + 1
        elif message.type == "heartbeat" and message.next > self.next > 0:
            message.missed = message.next - self.next
            self.next = message.next
        return message
