"""The hash chain over the stored bytes: an edit, a deletion or a reordering changes every hash after it.

    h = sha256(0x00 ‖ seq, 8 bytes big-endian ‖ h of the row before ‖ body)

0x00 marks a leaf, as in RFC 6962, so that no inner node of a later tree can pass for a row.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from pipeline.delivery import DIGEST_BYTES

GENESIS = bytes(DIGEST_BYTES)
"""The hash before the first row."""


class Link(NamedTuple):
    """The end of the chain: the last row's number (0: none) and hash."""

    seq: int
    h: bytes


START = Link(0, GENESIS)


def link_hash(seq: int, h_prev: bytes, body: bytes) -> bytes:
    return sha256(b"".join((b"\x00", seq.to_bytes(8, "big"), h_prev, body))).digest()
