"""What a process recorded before it published: given to its collector, exactly.

Until `publish` records wait in memory, to be read by the process itself. What nobody has read by then is
written into a ring file of its own, which is closed at once and waits for the collector like any ring whose
writer has left; what finds no room there, and what was lost before, is counted in it as dropped.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from pipeline import limits
from pipeline.telemetry.layout import (
    DROPPED,
    DROPPED_SEEN,
    ENTRIES_BYTE,
    ENTRY_BYTES,
    FACTS_DROPPED,
    FACTS_SEEN,
    HEAD,
    LARGEST_WEIGHT,
    TAIL,
)
from pipeline.telemetry.ring import Ring

_ENTRY = struct.Struct("<qqQQ")


def hand_over(rings: Sequence[Ring], untold: int, make: Callable[[int], Ring]) -> None:
    """Give what nobody has read in `rings`, of this process's memory, to the ring that `make` makes, and
    count `untold` calls there as lost: they were read, and told to nobody. Makes no ring for nothing.

    Raises what `make` raises.
    """
    waiting = sum(ring.waiting for ring in rings)
    lost = sum(ring.words[DROPPED] - ring.words[DROPPED_SEEN] for ring in rings) + untold
    facts = sum(ring.words[FACTS_DROPPED] - ring.words[FACTS_SEEN] for ring in rings)
    if not (waiting or lost or facts):
        return
    least = max(waiting, limits.MIN_RING_ENTRIES)
    given = make(min(1 << (least - 1).bit_length(), limits.DEFAULT_RING_ENTRIES))
    try:
        given.announce(1 + max((ring.words[LARGEST_WEIGHT] for ring in rings), default=0))
        for ring in rings:
            _give(ring, given)
        given.words[DROPPED] += lost
        given.words[FACTS_DROPPED] += facts
    finally:
        given.close()


def _give(ring: Ring, given: Ring) -> None:
    mask, put = ring.identity.capacity - 1, given.put
    for number in range(ring.words[TAIL], ring.words[HEAD]):
        end_ns, value, what, _ = _ENTRY.unpack_from(ring.memory, ENTRIES_BYTE + (number & mask) * ENTRY_BYTES)
        put(end_ns, value, what)
