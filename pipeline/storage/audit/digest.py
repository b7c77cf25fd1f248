"""The digest of what is audited, in the form that every run shares (`pipeline.run_digest`)."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.delivery import Delivery
from pipeline.run_digest import RunDigest


def run_digest(rows: Iterable[Delivery]) -> str:
    """Hex SHA-256 over `rows`, which come sorted by key, then key_seq."""
    digest = RunDigest()
    key: str | None = None
    for row in rows:
        if row.key != key:
            key = row.key
            digest.key(key)
        digest.row(row.key_seq, row.payload, row.decision, row.fills)
    return digest.hexdigest()
