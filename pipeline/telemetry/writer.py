"""The writing side of a ring: two closures, one a mode, and nothing else on the hot path.

Both claim a slot without a lock. CPython runs signal handlers and switches threads only after a call
returns; the one call between reading `head` and moving it is `pack`, so a nested or concurrent put that
slipped in is seen as a moved `head`, and the outer one writes itself again behind it. Nothing is claimed
before it is whole, so a put that is thrown out of (KeyboardInterrupt) leaves no hole. (With the
interpreter lock. Without it a ring must have one thread, as it has everywhere in Ringline.)

`Struct.pack_into` zeroes its target before it writes. It is therefore used for bytes that no reader may
look at yet, never for a word that publishes; those are stored as items of a memoryview, one store each.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeAlias

from pipeline.telemetry.layout import (
    DROPPED,
    ENTRY_SHIFT,
    ENTRY_WORDS,
    FACTS_DROPPED,
    HEAD,
    KIND_MASK,
    KIND_SHIFT,
    PROOF_WORD,
    TAIL,
    WEIGHT_MASK,
    WEIGHT_SHIFT,
    Mode,
    Proof,
    mixed,
)

_FITS = struct.Struct("<qqQ").pack
_KIND_BITS = KIND_MASK << KIND_SHIFT
Words: TypeAlias = "list[int] | memoryview[int]"
Put = Callable[[int, int, int], bool]
"""(end_ns, value, what) → whether it was written, else counted: as the calls it stands for, or as one fact.
Never raises."""
PACK_ENTRY = struct.Struct("<qqQQ").pack_into
PACK_PAYLOAD = struct.Struct("<qqQ").pack_into


class Pack(Protocol):
    """A bound `Struct.pack_into`."""

    def __call__(self, buffer: Any, offset: int, /, *values: int) -> None: ...


def make_put(words: Words, body: Any, capacity: int, mode: int, proof: int) -> Put:
    """The writer of one ring. `words` is all of it as 64-bit words, `body` the bytes of its entries."""
    if mode == Mode.FLIGHT_RECORDER:
        return overwrite_oldest(words, body, capacity, proof)
    return drop_newest(words, body, capacity, proof)


def drop_newest(words: Words, body: Any, capacity: int, proof: int, pack: Pack = PACK_ENTRY) -> Put:
    """Writes while there is room, else counts what was dropped. No slot is ever written that may be read.

    Order: the entry, then `head`. `tail` is read again only when the ring looks full.
    """
    mask = capacity - 1
    mixes = proof == Proof.MIXED
    head = words[HEAD]
    limit = head
    dropped = words[DROPPED]
    facts_dropped = words[FACTS_DROPPED]

    def put(end_ns: int, value: int, what: int) -> bool:
        nonlocal head, limit, dropped, facts_dropped
        try:
            while True:
                position = head
                if position >= limit:
                    tail = words[TAIL]  # a call here, such as min(), could let another put in
                    limit = (tail if tail < position else position) + capacity
                    if position >= limit:
                        _FITS(end_ns, value, what)  # else it is counted below, as any ring would
                        if what & _KIND_BITS:
                            facts_dropped += 1
                            words[FACTS_DROPPED] = facts_dropped
                        else:
                            dropped += _calls(what)
                            words[DROPPED] = dropped
                        return False
                after = position + 1
                proven = mixed(after, end_ns, value, what) if mixes else after
                pack(body, (position & mask) << ENTRY_SHIFT, end_ns, value, what, proven)
                if head == position:
                    break
            head = after
            words[HEAD] = after
            return True
        except ValueError:  # the ring was closed, or left behind by a fork
            return False
        except (struct.error, TypeError):  # a value that is no 64-bit integer
            with suppress(ValueError):
                if _means_fact(what):
                    facts_dropped += 1
                    words[FACTS_DROPPED] = facts_dropped
                else:
                    dropped += 1
                    words[DROPPED] = dropped
            return False

    return put


def overwrite_oldest(words: Words, body: Any, capacity: int, proof: int, pack: Pack = PACK_PAYLOAD) -> Put:
    """Always writes; the reader finds out what it missed and proves each entry by its last word.

    Order: the slot's proof word goes to 0, the payload, the proof word, `head`.
    """
    mask = capacity - 1
    mixes = proof == Proof.MIXED
    head = words[HEAD]
    dropped = words[DROPPED]
    facts_dropped = words[FACTS_DROPPED]

    def put(end_ns: int, value: int, what: int) -> bool:
        nonlocal head, dropped, facts_dropped
        try:
            while True:
                position = head
                slot = position & mask
                words[PROOF_WORD + slot * ENTRY_WORDS] = 0
                pack(body, slot << ENTRY_SHIFT, end_ns, value, what)
                if head == position:
                    break
            after = position + 1
            words[PROOF_WORD + slot * ENTRY_WORDS] = mixed(after, end_ns, value, what) if mixes else after
            head = after
            words[HEAD] = after
            return True
        except ValueError:  # the ring was closed, or left behind by a fork
            return False
        except (struct.error, TypeError):  # a value that is no 64-bit integer
            with suppress(ValueError):
                if _means_fact(what):
                    facts_dropped += 1
                    words[FACTS_DROPPED] = facts_dropped
                else:
                    dropped += 1
                    words[DROPPED] = dropped
            return False

    return put


def _means_fact(what: object) -> bool:
    """Whether a third word that may be no word at all means a COUNT or GAUGE."""
    return isinstance(what, int) and what >= 0 and what & _KIND_BITS != 0


def _calls(what: int) -> int:
    """How many calls are lost with an entry that finds no room: as many as it stands for."""
    return 1 + (what >> WEIGHT_SHIFT & WEIGHT_MASK)
