"""What was accepted within retention: one compact table that answers "seen before?".

An entry takes 48 bytes and one slot of 4 bytes in a table at most half full:

     0          16            32    40
    +----------+-------------+-----+-------------+
    | identity | fingerprint | jno | accepted_us |
    +----------+-------------+-----+-------------+

Entries live in generations that are dropped whole when their newest is too old: no deletions, no
rehashing, no pause. There are as many entries as the journal holds identities, so `journal.max_bytes`
bounds them too.
"""

from __future__ import annotations

import struct
from array import array

from msgspec import Struct

from pipeline.clock import US_PER_S

ENTRY = struct.Struct("<16s16sQQ")
MIN_GENERATION = 1 << 15
MAX_GENERATION = 1 << 20
"""Entries of one generation: from 2 MiB to 60 MiB, each twice the one before, so that few are searched."""
GENERATIONS_A_RETENTION = 4
"""A generation spans a quarter of the retention: at most a quarter too much is kept."""


class Known(Struct, frozen=True, gc=False):
    """An event accepted before. `synced` is False while its commit is under way."""

    fingerprint: bytes
    event_id: bytes
    accepted_us: int
    jno: int
    synced: bool


class _Generation:
    __slots__ = ("capacity", "count", "first_us", "mask", "newest_us", "rows", "slots")

    def __init__(self, capacity: int, first_us: int) -> None:
        self.capacity = capacity
        self.count = 0
        self.first_us = first_us
        self.newest_us = first_us
        self.rows = bytearray()
        self.slots = array("I", bytes(8 * capacity))
        self.mask = 2 * capacity - 1


class Index:
    """Identities of accepted events. `retention_us` is how long each is known."""

    def __init__(self, retention_us: int) -> None:
        self._retention_us = retention_us
        self._span_us = max(US_PER_S, retention_us // GENERATIONS_A_RETENTION)
        self._generations: list[_Generation] = []

    def __len__(self) -> int:
        return sum(generation.count for generation in self._generations)

    def find(self, identity: bytes, now_us: int) -> tuple[bytes, int, int] | None:
        """(fingerprint, jno, accepted_us) of the newest entry of `identity` within retention."""
        start = int.from_bytes(identity[:8], "little")
        for generation in reversed(self._generations):
            slots, mask, rows = generation.slots, generation.mask, generation.rows
            slot = start & mask
            best: tuple[bytes, int, int] | None = None
            while row := slots[slot]:
                offset = (row - 1) * ENTRY.size
                if rows[offset : offset + 16] == identity:
                    _, fingerprint, jno, accepted_us = ENTRY.unpack_from(rows, offset)
                    if best is None or jno > best[1]:
                        best = (fingerprint, jno, accepted_us)
                slot = (slot + 1) & mask
            if best is not None:
                return best if now_us - best[2] < self._retention_us else None
        return None

    def add(self, entry: bytes, accepted_us: int) -> None:
        """Remember a packed ENTRY; the newest of an identity counts."""
        generation = self._generations[-1] if self._generations else None
        if (
            generation is None
            or generation.count == generation.capacity
            or accepted_us - generation.first_us >= self._span_us
        ):
            generation = self._begin(accepted_us)
        slots, mask = generation.slots, generation.mask
        slot = int.from_bytes(entry[:8], "little") & mask
        while slots[slot]:
            slot = (slot + 1) & mask
        generation.rows += entry
        generation.count += 1
        slots[slot] = generation.count
        if accepted_us > generation.newest_us:
            generation.newest_us = accepted_us

    def expire(self, now_us: int) -> None:
        """Forget the generations that are too old as a whole."""
        oldest_us = now_us - self._retention_us
        self._generations = [g for g in self._generations if g.newest_us > oldest_us]

    def _begin(self, accepted_us: int) -> _Generation:
        capacity = MIN_GENERATION
        if self._generations and self._generations[-1].count == self._generations[-1].capacity:
            capacity = min(MAX_GENERATION, 2 * self._generations[-1].capacity)
        generation = _Generation(capacity, accepted_us)
        self._generations.append(generation)
        return generation
