"""Which worker owns a key: rendezvous (highest random weight) hashing over ordinals.

Every sender computes the same owner with nothing shared but the set of live ordinals, and a worker that
joins or leaves moves only its own share of the keys (Thaler & Ravishankar, 1998).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b


def weight(key: str, ordinal: int) -> int:
    """The weight of `ordinal` for `key`: 64 bits, the same on every machine and version."""
    return int.from_bytes(blake2b(f"{ordinal}|{key}".encode(), digest_size=8).digest())


def owner(key: str, ordinals: Iterable[int]) -> int | None:
    """The ordinal with the highest weight for `key`; None where there are none."""
    return max(ordinals, key=lambda ordinal: (weight(key, ordinal), ordinal), default=None)
