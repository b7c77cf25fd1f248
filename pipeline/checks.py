"""What the gateway checked of an event before it took it: kept with the event, and nothing depends on it.

One msgpack array of about 40 bytes, encoded once and carried as it is, so that no stage between reads it:

    profile   secret    named_by   body_bytes   index   gates   age_ms
    standard  demo.key  webhook-id 214          -1      4       312

A field is only ever appended, with a default.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from pipeline import limits

ADDRESS, PATH, RATE = 1, 2, 4
"""Gates that an event's source has, and that it passed: the sender's address was on the list, the path ended
in a token, the rate limit allowed it."""
GATES = {ADDRESS: "address", PATH: "path token", RATE: "rate limit"}
DERIVED = "derived"
"""The sender named its event nowhere: the id is a hash of what makes it this one."""


class Checks(Struct, frozen=True, array_like=True, gc=False):
    """`secret` is the name of the one that matched, never a byte of it. `named_by` is the header or member
    that gave the event its id, or DERIVED. `body_bytes` as posted and signed, of a batch all of it; `index`
    is the place in the batch, -1 for a single event. `age_ms` is how old the signed time was when the event
    was accepted (negative: ahead), None where the profile signs none."""

    profile: str
    secret: str
    named_by: str
    body_bytes: int
    index: int = -1
    gates: int = 0
    age_ms: int | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Checks).decode


def encode_checks(checks: Checks) -> bytes:
    return _encode(checks)


def decode_checks(data: bytes) -> Checks | None:
    """None for nothing, and for what is none of ours: an event is told also without it."""
    try:
        return _decode(data) if data else None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def shortened(name: str) -> str:
    """A name as much as is kept of it; of a file's that is no text what is."""
    if name.isascii() and len(name) <= limits.MAX_NAME_CHARS:
        return name
    return name.encode("utf-8", "replace").decode("utf-8")[: limits.MAX_NAME_CHARS]
