"""What goes over the feed's WebSocket: text messages, one JSON object each, with `type` first.

Every message of the server has `sent_us`, its wall clock in microseconds just before it was handed to the
socket. `docs/feed.md` shows them all.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from pipeline.stages.feed.manifest import Manifest, Wanted
from pipeline.stages.feed.tail import Ready

PROTOCOL = 1
_encode = msgspec.json.Encoder().encode

# Close codes: 1000 to 1015 as RFC 6455 and IANA have them, the others our own.
LEAVING = 1012
"""The server leaves; it is back soon."""
PRUNED = 4410
"""Rows that were to be sent next were taken out of the audit."""
UNREADABLE = 4500
"""The audit cannot be read, or has a damaged row."""
BAD_MESSAGE = 4400
"""The client sent what is none of the messages here."""


class Hello(Struct, frozen=True, tag_field="type", tag="hello", kw_only=True):
    """The first message. `start` is the first row that may come, `head` the last one there is."""

    protocol: int = PROTOCOL
    session: str
    start: int
    head: int
    wanted: Wanted
    heartbeat_ms: int
    sent_us: int


class Heartbeat(Struct, frozen=True, tag_field="type", tag="heartbeat", kw_only=True):
    """Nothing to send for a while. `next` is where to resume, `head` the last row there is."""

    next: int
    head: int
    sent_us: int


class Time(Struct, frozen=True, tag_field="type", tag="time", kw_only=True):
    """The answer to a client's `time`: `asked_us` is what it sent, the others are the server's clock."""

    asked_us: int
    received_us: int
    sent_us: int


class Ended(Struct, frozen=True, tag_field="type", tag="manifest", kw_only=True):
    """The last message of a session that ends in good order."""

    manifest: Manifest
    sent_us: int


class Ask(Struct, frozen=True, tag_field="type", tag="time"):
    """A client asks for the time; `asked_us` is its own."""

    asked_us: int


class Bye(Struct, frozen=True, tag_field="type", tag="bye"):
    """A client wants its manifest, and leaves."""


Said = Ask | Bye
_decode = msgspec.json.Decoder(Said).decode


def text_of(message: Hello | Heartbeat | Time | Ended) -> str:
    return _encode(message).decode()


def row_text(ready: Ready, sent_us: int) -> str:
    """`{"type":"row","seq":…,"sent_us":…,"hash":…,"row":{…}}` without making the row's JSON anew."""
    row = ready.row
    return f'{{"type":"row","seq":{row.seq},"sent_us":{sent_us},"hash":"{row.h.hex()}","row":{ready.text}}}'


def said(message: dict[str, Any]) -> Said | None:
    """What the client sent in this ASGI message; None when it is nothing of ours."""
    text = message.get("text")
    try:
        return _decode(text) if text is not None else None
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
