"""Where a query goes on, as text that its asker hands back and need not understand.

It holds the order, the place and a digest of the filter, so that it fits one query only, and outlives the
process that made it. It opens nothing that its holder could not ask for: it is checked, not secret.

    version, order:1  place:8  filter:8  check:6    → 24 bytes, base64url without padding
"""

from __future__ import annotations

import base64
import binascii
import struct
from hashlib import sha256

import msgspec

from pipeline.errors import UsageError
from pipeline.storage.audit.query import Query

_HEAD = struct.Struct(">BBQ")
_VERSION = 1
_CHECK_BYTES = 6
_BYTES = _HEAD.size + 8 + _CHECK_BYTES


def make_cursor(query: Query, place: int) -> str:
    """The cursor of `query` at `place`."""
    head = _HEAD.pack(_VERSION, query.newest_first, place) + _digest(query)
    return base64.urlsafe_b64encode(head + _check(head)).decode().rstrip("=")


def read_cursor(text: str, query: Query) -> int:
    """The place in it. Raises UsageError when it is no cursor, or one of another query."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    head, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if len(data) != _BYTES or _check(head) != check or head[0] != _VERSION:
        raise UsageError(f"cursor = {text[:48]!r}: is none that was given out")
    _, newest_first, place = _HEAD.unpack_from(head)
    if head[_HEAD.size :] != _digest(query) or bool(newest_first) != query.newest_first:
        raise UsageError(f"cursor = {text[:48]!r}: belongs to a query with other filters or another order")
    return int(place)


def _digest(query: Query) -> bytes:
    return sha256(msgspec.msgpack.encode(query.wanted)).digest()[:8]


def _check(head: bytes) -> bytes:
    return sha256(b"ringline cursor" + head).digest()[:_CHECK_BYTES]
