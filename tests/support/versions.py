"""Frames as other versions of the links' protocol would send them: fields left out, fields appended."""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.transport import wire

HELLO, WELCOME, MSG, STATE = 1, 2, 5, 7
_STATIC = {HELLO: 2, WELCOME: 4}
"""Of tag and fields, how many the first version had that could leave out its last ones."""
_DELIVERY_FIELDS = 18
"""Without `traceparent`, `checks` and the times, which came later."""


def earlier(frame: bytes) -> bytes:
    """The frame without the fields that were appended since the first version, which does not know them."""
    session, messages = msgspec.msgpack.decode(frame)
    for message in messages:
        del message[_STATIC.get(message[0], len(message)) :]
        for delivery in deliveries(message):
            del delivery[_DELIVERY_FIELDS:]
    return msgspec.msgpack.encode([session, messages])


def later(frame: bytes) -> bytes:
    """The frame with a field appended to everything in it, and a version number above ours."""
    session, messages = msgspec.msgpack.decode(frame)
    for message in messages:
        if message[0] in (HELLO, WELCOME):
            message[-1] = wire.PROTOCOL_VERSION + 1
        for delivery in deliveries(message):
            delivery.append({"new": [1, 2, 3]})
        if message[0] == STATE:
            message[2].append("new")
        message.append("new")
    return msgspec.msgpack.encode([session, messages, "new"])


def deliveries(message: list[Any]) -> list[list[Any]]:
    """Those in a decoded message, to be changed in place."""
    if message[0] == MSG:
        return [message[2]]
    if message[0] == STATE:
        return list(message[2][7])
    return []
