"""The bytes of a ring: one drawing, and every offset derived from it.

A ring is a file in the telemetry directory, mapped by its writer and by its reader. All words are 64 bits,
little-endian, aligned. Lines are 128 bytes, so that no two owners share a cache line (or a pair of lines
fetched together).

    byte
       0  magic (8 bytes) │ version │ capacity │ mode │ proof │ pid │ process start │ generation
      64  worker name, UTF-8, padded with zeros (64 bytes)      line 0: written once, before the file appears
     128  head                                                  line 1: the writer's
     256  tail │ dropped seen │ removed seen │ given up │ facts seen    line 2: the reader's
     384  dropped │ largest weight │ removed │ facts dropped │  line 3: the writer's
     512  heartbeat │ closed                                    line 4: the writer's
     640  bytes of names used │ names of own events (see `names`)  line 5 and on: the writer's
    4096  STARTs: 96 × (time, ns of CLOCK_MONOTONIC │ what)     the writer's; `what` 0: nothing there
    5632  entries: capacity × 32 bytes

    entry:  end, ns of CLOCK_MONOTONIC │ value │ what │ proof word
    what:   event : 12 │ weight : 12 │ kind : 4 │ none : 4 │ correlation : 32        (lowest bits first)

`weight` is how many calls a DURATION stands for, less one: 0 where nothing is sampled. It stands in every
entry that it concerns, so that no entry needs another one to be understood. `largest weight` is the largest
that any entry of the ring may have: what an entry that is gone stood for at most. `dropped` counts calls,
each dropped entry by its own weight; `facts dropped` counts dropped COUNTs and GAUGEs, which are no calls.

A START says what is under way. It is no entry but stands in a place of its own until its call ends, which
wipes it: whoever ends the call, with whatever correlation, whether the call is recorded or left out, and
whether or not there is room for its DURATION. So what stands there when a writer has died is what it was
doing. A writer stores the time first and `what` last, and wipes `what` alone.

`removed` counts calls in rings of others that this writer removed, with a check of its own (see
`proven_count`), and `given up` is not 0 while somebody is removing this one (see `left_rings`).

`head` counts entries ever published and `tail` entries ever taken; both only rise, and entry number n
(from 0) lives in slot n mod capacity. Its sequence is n + 1, so that memory full of zeros proves nothing.
The proof word is the sequence; in a ring whose header says `proof` 1 it is mixed of the sequence and the
other three words (see `mixed`), and proves these too on machines that reorder stores (ARM).
"""

from __future__ import annotations

import os
import struct
from enum import IntEnum
from operator import index
from typing import NamedTuple

from pipeline import limits

MAGIC = b"RINGLINE"
VERSION = 5

WORD_BYTES = 8
LINE_BYTES = 128
PAGE_BYTES = 4096
ENTRY_BYTES = limits.RING_ENTRY_BYTES
ENTRY_WORDS = ENTRY_BYTES // WORD_BYTES
ENTRY_SHIFT = ENTRY_BYTES.bit_length() - 1
"""slot << ENTRY_SHIFT is the slot's first byte, counted from the first entry."""
NAME_BYTES = 64

# ---- byte offsets ---------------------------------------------------------------------------------------
IDENTITY_BYTE = 0
HEAD_BYTE = IDENTITY_BYTE + LINE_BYTES
TAIL_BYTE = HEAD_BYTE + LINE_BYTES
DROPPED_SEEN_BYTE = TAIL_BYTE + WORD_BYTES
REMOVED_SEEN_BYTE = DROPPED_SEEN_BYTE + WORD_BYTES
GIVEN_UP_BYTE = REMOVED_SEEN_BYTE + WORD_BYTES
FACTS_SEEN_BYTE = GIVEN_UP_BYTE + WORD_BYTES
DROPPED_BYTE = TAIL_BYTE + LINE_BYTES
LARGEST_WEIGHT_BYTE = DROPPED_BYTE + WORD_BYTES
REMOVED_BYTE = LARGEST_WEIGHT_BYTE + WORD_BYTES
FACTS_DROPPED_BYTE = REMOVED_BYTE + WORD_BYTES
HEARTBEAT_BYTE = DROPPED_BYTE + LINE_BYTES
CLOSED_BYTE = HEARTBEAT_BYTE + WORD_BYTES
NAMES_USED_BYTE = HEARTBEAT_BYTE + LINE_BYTES
NAMES_BYTE = NAMES_USED_BYTE + WORD_BYTES
STARTS_BYTE = PAGE_BYTES
START_WORDS = 2
ENTRIES_BYTE = STARTS_BYTE + limits.MAX_OPEN_STARTS * START_WORDS * WORD_BYTES
NAMES_BYTES = STARTS_BYTE - NAMES_BYTE
"""Room for names."""

# ---- the same as word indices ---------------------------------------------------------------------------
HEAD = HEAD_BYTE // WORD_BYTES
TAIL = TAIL_BYTE // WORD_BYTES
DROPPED_SEEN = DROPPED_SEEN_BYTE // WORD_BYTES
REMOVED_SEEN = REMOVED_SEEN_BYTE // WORD_BYTES
GIVEN_UP = GIVEN_UP_BYTE // WORD_BYTES
FACTS_SEEN = FACTS_SEEN_BYTE // WORD_BYTES
DROPPED = DROPPED_BYTE // WORD_BYTES
LARGEST_WEIGHT = LARGEST_WEIGHT_BYTE // WORD_BYTES
REMOVED = REMOVED_BYTE // WORD_BYTES
FACTS_DROPPED = FACTS_DROPPED_BYTE // WORD_BYTES
HEARTBEAT = HEARTBEAT_BYTE // WORD_BYTES
CLOSED = CLOSED_BYTE // WORD_BYTES
NAMES_USED = NAMES_USED_BYTE // WORD_BYTES
STARTS = STARTS_BYTE // WORD_BYTES
ENTRIES = ENTRIES_BYTE // WORD_BYTES
PROOF_WORD = ENTRIES + ENTRY_WORDS - 1
"""Word index of slot 0's proof word; slot n's is ENTRY_WORDS · n further."""
HEADER_WORDS = NAMES_USED_BYTE // WORD_BYTES

_IDENTITY = struct.Struct(f"<8s7Q{NAME_BYTES}s")

assert _IDENTITY.size == LINE_BYTES
assert NAMES_BYTE < STARTS_BYTE
assert ENTRIES_BYTE % LINE_BYTES == 0
assert ENTRY_BYTES == 1 << ENTRY_SHIFT
assert limits.MAX_NAME_CHARS <= NAME_BYTES

# ---- the word `what` ------------------------------------------------------------------------------------
EVENT_MASK = (1 << 12) - 1
WEIGHT_SHIFT = 12
WEIGHT_MASK = (1 << 12) - 1
KIND_SHIFT = 24
KIND_MASK = 0xF
CORRELATION_SHIFT = 32
CORRELATION_MASK = (1 << 32) - 1
WORD_MASK = (1 << 64) - 1
_COUNT_BITS = 48
COUNT_MASK = (1 << _COUNT_BITS) - 1

assert limits.MAX_EVENT_ID == EVENT_MASK
assert limits.MAX_SAMPLING_WEIGHT == WEIGHT_MASK + 1


class Kind(IntEnum):
    """What an entry's value means."""

    DURATION = 0
    """ns from its start to `end`."""
    START = 1
    """Of no entry: what begins stands among the ring's STARTs. A list of calls has it (`ListRecorder`)."""
    COUNT = 2
    """Added to a counter."""
    GAUGE = 3
    """The newest value stands."""


# The same as plain integers: on Python 3.11 an enum's member is looked up by a Python function each time.
DURATION, START, COUNT, GAUGE = (int(kind) for kind in Kind)
ENTRY_KINDS = (DURATION, COUNT, GAUGE)


class Mode(IntEnum):
    """What a writer does when the ring is full."""

    DROP_NEWEST = 0
    FLIGHT_RECORDER = 1


class Proof(IntEnum):
    """How an entry proves that it is whole."""

    SEQUENCE = 0
    MIXED = 1


class RefusedRingError(Exception):
    """A file is not a ring that this version can read. `reason` is a short name that is counted."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class Identity(NamedTuple):
    """Line 0 of the header."""

    capacity: int
    mode: int
    proof: int
    pid: int
    process_start: int
    """Clock ticks since boot at which the process began (/proc/self/stat, field 22); 0 if unknown."""
    generation: int
    """Nanoseconds since the epoch at creation: tells two rings of one worker name apart."""
    worker: str


def ring_bytes(capacity: int) -> int:
    """Size of a ring file."""
    return ENTRIES_BYTE + capacity * ENTRY_BYTES


def mixed(sequence: int, end_ns: int, value: int, what: int) -> int:
    """The proof word of `proof` 1. Each word is multiplied by an odd number of its own, so that all its bits
    count and words that step together from entry to entry (a clock and a counter, say) do not cancel.

    Raises TypeError when one is no integer.
    """
    products = sequence * MIX_SEQUENCE ^ index(end_ns) * MIX_END ^ index(value) * MIX_VALUE
    return (products ^ index(what)) & WORD_MASK


MIX_SEQUENCE, MIX_END, MIX_VALUE = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
UNMIX_SEQUENCE = pow(MIX_SEQUENCE, -1, 1 << 64)
"""Times MIX_SEQUENCE it is 1, in 64 bits."""


def native_proof() -> Proof:
    """SEQUENCE where stores are seen in program order (x86: total store order), else MIXED."""
    return Proof.SEQUENCE if os.uname().machine.lower() in ("x86_64", "amd64", "i686") else Proof.MIXED


def pack_identity(identity: Identity) -> bytes:
    """Line 0. Raises ValueError when the capacity or the name cannot be written."""
    name = identity.worker.encode(errors="replace")
    if not 0 < len(name) <= NAME_BYTES:
        raise ValueError(f"worker name {identity.worker!r}: 1 to {NAME_BYTES} bytes of UTF-8")
    if not usable_capacity(identity.capacity):
        raise ValueError(
            f"ring entries {identity.capacity}: a power of two from {limits.MIN_RING_ENTRIES} "
            f"to {limits.MAX_RING_ENTRIES}"
        )
    numbers = (identity.capacity, identity.mode, identity.proof, identity.pid)
    return _IDENTITY.pack(MAGIC, VERSION, *numbers, identity.process_start, identity.generation, name)


def unpack_identity(line: bytes, file_bytes: int) -> Identity:
    """Line 0 of a file of `file_bytes`. Raises RefusedRingError naming what is wrong with it."""
    if len(line) < LINE_BYTES or file_bytes < PAGE_BYTES:
        raise RefusedRingError("too_short", f"{file_bytes} bytes")
    magic, version, capacity, mode, proof, pid, start, generation, name = _IDENTITY.unpack_from(line)
    if magic != MAGIC:
        raise RefusedRingError("bad_magic", repr(magic))
    if version != VERSION:
        raise RefusedRingError("other_version", f"{version}, this is {VERSION}")
    if not usable_capacity(capacity):
        raise RefusedRingError("bad_capacity", str(capacity))
    if file_bytes != ring_bytes(capacity):
        raise RefusedRingError(
            "bad_size", f"{file_bytes} bytes, {capacity} entries take {ring_bytes(capacity)}"
        )
    if mode not in tuple(Mode) or proof not in tuple(Proof):
        raise RefusedRingError("bad_mode", f"mode {mode}, proof {proof}")
    return Identity(capacity, mode, proof, pid, start, generation, _worker_name(name))


def proven_count(count: int) -> int:
    """A word that says `count` and proves that somebody meant to: a quarter of it is a check. What `removed`
    may be has no other bound, for it tells of rings that are no more."""
    count = min(count, COUNT_MASK)
    return count | _check_of(count) << _COUNT_BITS


def count_in(word: int) -> int:
    """What such a word says. Raises RefusedRingError when it was not made by `proven_count`; 0 says 0."""
    count = word & COUNT_MASK
    if word and word != proven_count(count):
        raise RefusedRingError("absurd_removed", str(word))
    return count


def _check_of(count: int) -> int:
    return 0 if count == 0 else (count * 0x9E3779B97F4A7C15 >> _COUNT_BITS) & 0xFFFF | 1


def usable_capacity(capacity: int) -> bool:
    """A power of two within the limits."""
    return limits.MIN_RING_ENTRIES <= capacity <= limits.MAX_RING_ENTRIES and not capacity & (capacity - 1)


def _worker_name(name: bytes) -> str:
    try:
        text = name.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        raise RefusedRingError("bad_name", repr(name)) from None
    if not text or not text.isprintable():
        raise RefusedRingError("bad_name", repr(name))
    return text
