"""What the policy remembers from tick to tick: windows, learned capacity, start times, cooldowns.

Plain data: it is kept as JSON, so that a restarted operator goes on where it was.
"""

from __future__ import annotations

import base64
import zlib

import msgspec
from msgspec import Struct

from pipeline_operator import limits

SCHEMA_VERSION = 1


class Second(Struct, frozen=True, array_like=True):
    """The worst of one second of one stage: load in thousandths of a message a second, lag in ms."""

    at_s: int
    load_milli: int
    lag_ms: int


class Capacity(Struct, frozen=True, kw_only=True):
    """What one replica does when it is saturated, in thousandths of a message a second.

    `mean_milli` and `variance` (of the mean's own unit, squared) are of `samples` saturated seconds, fading.
    `shown_milli` is the most that replicas have done without being saturated: the capacity is not below it.
    """

    revision: str = ""
    samples: int = 0
    mean_milli: int = 0
    variance: int = 0
    shown_milli: int = 0
    sampled_us: int = 0
    refuted_milli: int = 0
    """The least load a replica under which a trial of one less had to be taken back; 0: none had."""
    refuted_us: int = 0


class Raise(Struct, frozen=True, kw_only=True):
    """A raise under judgement: what was promised and what was there before it."""

    at_us: int
    from_replicas: int
    to_replicas: int
    handled_milli: int
    """The stage's throughput before it."""
    worst_per_mille: int = 0
    """The worst of its violated SLAs, of its limit."""
    ready_us: int | None = None
    """When its last replica became ready."""


class StageMemory(Struct, frozen=True, kw_only=True):
    """One stage. Times are wall clock in microseconds, 0 for never."""

    stage: str
    seconds: tuple[Second, ...] = ()
    """Oldest first, at most a minute."""
    capacity: Capacity = Capacity()
    ratio_per_mille: int = 1000
    """Messages that reach it for each thousand that leave the stages upstream."""
    starts_ms: tuple[int, ...] = ()
    started_us: int = 0
    """When a pod last became ready."""
    ready: int = 0
    ready_since_us: int = 0
    """Since when `ready` has not changed."""
    waiting_since_us: int = 0
    """Since when its input has been waiting while its output was not blocked; 0: it is not."""
    violated_us: int = 0
    """When an SLA was last violated."""
    violated_since_us: int = 0
    """Since when one has been at every tick; 0: none is."""
    raised_us: int = 0
    lowered_us: int = 0
    trial_us: int = 0
    """When it was last lowered by a trial."""
    trial_milli: int = 0
    """The highest load of the minute before that."""
    foreign_us: int = 0
    stale_raise_us: int = 0
    """When a stale signal last raised it: such a raise happens once until signals are back."""
    judged: Raise | None = None
    ineffective_us: int = 0
    """When a raise was found ineffective."""
    ineffective_why: str = ""


class Memory(Struct, frozen=True, kw_only=True):
    """All stages."""

    schema: int = SCHEMA_VERSION
    at_us: int = 0
    """The last tick."""
    stages: tuple[StageMemory, ...] = ()


PACK_LEVEL = 1
"""More takes longer and gains little."""
_decoder = msgspec.json.Decoder(Memory)


def encode_memory(memory: Memory) -> bytes:
    """JSON, packed (zlib, base64): it stands in the status, among what people read, and is a fifth so."""
    return base64.b64encode(zlib.compress(msgspec.json.encode(memory), PACK_LEVEL))


def decode_memory(data: bytes) -> Memory:
    """An empty memory when `data` is not one of this version: what was learned is learned again."""
    try:
        memory = _decoder.decode(_unpacked(data))
    except (msgspec.DecodeError, UnicodeDecodeError, zlib.error, ValueError):
        return Memory()
    return memory if memory.schema == SCHEMA_VERSION else Memory()


def _unpacked(data: bytes) -> bytes:
    """No more than a memory can have, whatever somebody wrote into the status; plain JSON as it is."""
    if data[:1] == b"{":
        return data
    return zlib.decompressobj().decompress(base64.b64decode(data), limits.MAX_MEMORY_BYTES)
