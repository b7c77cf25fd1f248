"""The digest of a run: what was decided on what, whoever decided it and whenever.

Keys sorted; of each row key_seq, payload, decision and fills, each with its length before it. No ids, no
accept times, no states: two runs over the same events give the same digest.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from pipeline.delivery import Delivery


def run_digest(rows: Iterable[Delivery]) -> str:
    """Hex SHA-256 over `rows`, which come sorted by key, then key_seq."""
    digest = sha256(b"ringline run 1;")
    key: str | None = None
    for row in rows:
        if row.key != key:
            key = row.key
            name = key.encode()
            digest.update(b"k%d;%b" % (len(name), name))
        lengths = (row.key_seq, len(row.payload), len(row.decision), len(row.fills))
        digest.update(b"r%d,%d,%d,%d;" % lengths)
        digest.update(row.payload)
        digest.update(row.decision)
        digest.update(row.fills)
    return digest.hexdigest()
