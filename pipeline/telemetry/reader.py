"""The reading side of a ring: copies what is new in batches and accepts only what proves itself.

Everything in a ring is somebody else's word. The header is checked on attaching, the file's size with
each look, head and counters for absurd jumps, and every entry for its proof word. What cannot be believed
is refused under a short name, never folded. See `ring_words` for how others' rings are read.
"""

from __future__ import annotations

import mmap
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.telemetry import layout
from pipeline.telemetry.drops import Drops
from pipeline.telemetry.layout import Identity, Mode, Proof, RefusedRingError
from pipeline.telemetry.left_rings import lock_is_free
from pipeline.telemetry.names import parse_names
from pipeline.telemetry.native import extension, reading
from pipeline.telemetry.proofs import proven_rows
from pipeline.telemetry.ring_words import Entries, FileWords, OwnWords, RingWords
from pipeline.telemetry.starts import Start, starts_in

PROOF_ATTEMPTS = 3
"""Drains that an unproven entry of a living writer may take to become visible before it is given up."""
ABSURD_HEAD = 1 << 62
"""No writer gets here, at 10 ns an entry, within a thousand years."""
ABSURD_STEP = 1 << 40
"""Entries between two looks: at 10 ns each this is three hours; no writer does it between two drains."""


class Drained(NamedTuple):
    """What one look at a ring gave."""

    kept: int
    """Proven entries, in order, at the beginning of the caller's array."""
    dropped: int = 0
    """By the writer, for lack of room: calls, each entry by its weight."""
    overwritten: int = 0
    """Entries that the writer wrote over before they were read (flight recorder)."""
    unproven: int = 0
    """Entries that never proved themselves."""
    facts_dropped: int = 0
    """Counts and gauges that the writer dropped: no calls."""
    more: bool = False
    """The caller's array was too small for all of it."""

    @property
    def lost(self) -> int:
        return self.dropped + self.overwritten + self.unproven + self.facts_dropped


NOTHING = Drained(0)


class RingReader:
    """The one consumer of a ring."""

    __slots__ = (
        "_attempts",
        "_drops",
        "_fence",
        "_flight",
        "_look",
        "_names_used",
        "_plain",
        "_quarter",
        "_ring",
        "_tail",
        "_words",
        "identity",
        "path",
    )

    def __init__(
        self,
        held: mmap.mmap | RingWords,
        identity: Identity,
        path: Path | None = None,
        *,
        now: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`held`: the memory of this process's own ring, or how else to get at one.

        `now` bounds by the time that has passed what a writer can have dropped.
        """
        self._ring: RingWords = OwnWords(held, identity.capacity) if isinstance(held, mmap.mmap) else held
        self.identity = identity
        self.path = path
        self._words = self._ring.look()
        self._tail = self._words[layout.TAIL]
        self._drops = Drops(self._words, identity, now)
        self._flight = identity.mode == Mode.FLIGHT_RECORDER
        self._attempts = 0
        self._names_used = 0
        weak = identity.proof == Proof.MIXED
        self._fence: Callable[[], None] | None = extension.fence if weak and extension is not None else None
        """Where loads may be reordered; without the extension the proof alone guards there."""
        self._plain = not weak and not self._flight
        self._quarter = identity.capacity // 4
        self._look: Any = None
        if reading is not None and self._plain and self._ring.fd != -1:
            self._look = reading.Look(self._ring.fd, identity.capacity)

    @classmethod
    def attach(cls, path: Path) -> RingReader:
        """The reader of a ring file; it changes nothing in it.

        Raises RefusedRingError when the file is no ring of this version, OSError when it cannot be opened.
        """
        # Not blocking: somebody may have put a FIFO there.
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            identity = _identity_in(fd)
            found = cls(FileWords(fd, identity.capacity), identity, path)
            if found.tail >= ABSURD_HEAD:
                raise RefusedRingError("absurd_head", f"tail {found.tail}")
            return found
        except BaseException:
            os.close(fd)
            raise

    @property
    def heartbeat_ns(self) -> int:
        """CLOCK_MONOTONIC of the writer's last heartbeat; 0 when the file cannot be read any more."""
        return self._word(layout.HEARTBEAT)

    @property
    def closed(self) -> bool:
        """True once the writer has said that no more will come."""
        return self._word(layout.CLOSED) != 0

    def _word(self, index: int) -> int:
        try:
            return self._ring.look()[index]
        except RefusedRingError:
            return 0

    @property
    def waiting(self) -> int:
        """Entries published and not yet taken; may exceed the capacity in flight-recorder mode."""
        return self._ring.look()[layout.HEAD] - self._tail

    @property
    def filling(self) -> bool:
        """More than a quarter full, or cut short: it should be looked at."""
        try:
            return self.waiting > self._quarter
        except RefusedRingError:
            return True

    @property
    def look(self) -> Any:
        """What `reading.wait` takes to end where `filling` would begin; None where that takes Python."""
        if self._look is not None:
            self._look.mark = self._tail + self._quarter
        return self._look

    @property
    def tail(self) -> int:
        """Entries taken so far."""
        return self._tail

    def new_names(self) -> dict[int, str]:
        """All events that this ring names, when there are more than at the last call; else none.

        Raises RefusedRingError when what stands there cannot be names. As of the last look at the ring:
        whatever was taken then was named before.
        """
        used = self._words[layout.NAMES_USED]
        if used == self._names_used:
            return {}
        if used > layout.NAMES_BYTES:
            raise RefusedRingError("bad_names", f"{used} bytes of names, {layout.NAMES_BYTES} fit")
        found = parse_names(self._ring.header()[layout.NAMES_BYTE : layout.NAMES_BYTE + used])
        self._names_used = used
        return found

    @property
    def most_calls(self) -> int:
        """How many calls an entry of this ring may stand for."""
        try:
            largest = self._ring.look()[layout.LARGEST_WEIGHT]
        except RefusedRingError:  # whatever stood there
            return layout.WEIGHT_MASK + 1
        return min(largest, layout.WEIGHT_MASK) + 1

    @property
    def dropped(self) -> int:
        """Calls whose entries the writer dropped, since the ring was made."""
        return self._ring.look()[layout.DROPPED]

    def under_way(self) -> list[Start]:
        """What the writer began and has not ended, the oldest first; not what an entry shows to have ended:
        who was killed while it ended a call came no further. Raises RefusedRingError as `recent` does."""
        found = starts_in(self._ring.header())
        if not found:
            return found
        rows = self.recent()
        rows = rows[rows[:, 2] >> layout.KIND_SHIFT & layout.KIND_MASK == layout.DURATION][-1:]
        with np.errstate(over="ignore"):
            ended = {(int(row[0] - row[1]), int(row[2]) & layout.EVENT_MASK) for row in rows}
        return [one for one in found if (one.at_ns, one.what & layout.EVENT_MASK) not in ended]

    def raw_header(self) -> bytes:
        """All bytes before the entries. Raises RefusedRingError when the file was cut short."""
        return self._ring.header()

    def recent(self) -> Entries:
        """What the ring still holds, taken or not, in order, proven; it moves nothing.

        Raises RefusedRingError when the header's numbers cannot be true.
        """
        head, capacity = self._ring.look()[layout.HEAD], self.identity.capacity
        if head >= ABSURD_HEAD:
            raise RefusedRingError("absurd_head", str(head))
        first = max(0, head - capacity)
        rows: Entries = np.empty((head - first, layout.ENTRY_WORDS), dtype=np.int64)
        self._ring.copy(first, len(rows), rows)
        # A living writer may have been at the oldest ones meanwhile.
        stale = min(len(rows), max(0, self._ring.look()[layout.HEAD] + 1 - capacity - first))
        rows = rows[stale:]
        proven = proven_rows(rows, first + stale, self.identity.proof)
        return rows[proven]

    def check(self) -> None:
        """Look at the ring. Raises RefusedRingError when the file is not as long as it was."""
        self._ring.look()

    def take_removed(self) -> int:
        """Calls in rings of others that the writer removed, less those told before.

        To be asked now and then: what a ring may say next is bounded by the time since.
        Raises RefusedRingError when the file was cut short or a number of its writer's cannot be true.
        """
        words = self._ring.look()
        if words[layout.LARGEST_WEIGHT] > layout.WEIGHT_MASK:
            raise RefusedRingError("absurd_weight", str(words[layout.LARGEST_WEIGHT]))
        self._drops.bound(words)
        new = layout.count_in(words[layout.REMOVED]) - layout.count_in(words[layout.REMOVED_SEEN])
        if new:
            if new < 0:
                raise RefusedRingError("absurd_removed", f"{-new} fewer than were told")
            self._ring.note(layout.REMOVED_SEEN, words[layout.REMOVED])
        return new

    @property
    def given_up(self) -> int:
        """Not 0 while somebody is removing this ring, who counts what is in it: 1, or it is no such word."""
        return 0 if self.writer_is_gone() else self._word(layout.GIVEN_UP)

    def writer_is_gone(self) -> bool:
        """True when nobody holds the writer's lock; from then on this reader holds it."""
        return self._ring.fd != -1 and lock_is_free(self._ring.fd)

    def drain(self, into: Entries, *, final: bool = False) -> Drained:
        """Copy new entries to the beginning of `into`. `final`: the writer is gone, so what does not
        prove itself now never will.

        Raises RefusedRingError when the header's numbers cannot be true.
        """
        words = self._ring.look()
        dropped, facts = self._drops.take(words)
        if facts:
            self._ring.note(layout.FACTS_SEEN, self._drops.facts_seen)
        head = words[layout.HEAD]
        behind = head - self._tail
        if head >= ABSURD_HEAD:
            raise RefusedRingError("absurd_head", str(head))
        if behind == 0:
            if not (dropped or facts):
                return NOTHING
            self._ring.store(self._tail, self._drops.seen)
            return Drained(0, dropped, facts_dropped=facts)
        if self._fence is not None:  # the entries are loaded after head
            self._fence()
        flight = self._flight
        capacity = self.identity.capacity
        if not 0 < behind < ABSURD_STEP or (behind > capacity and not flight):
            raise RefusedRingError("absurd_head", f"head {head}, tail {self._tail}")
        overwritten = self._skip_to(head + 1 - capacity) if flight else 0
        tail = self._tail
        count = min(head - tail, len(into))
        self._ring.copy(tail, count, into)
        if self._fence is not None:  # and before head again, and before the writer may have their slots
            self._fence()
        stale = 0
        if flight:  # what the writer may have been overwriting while it was copied
            head = self._ring.look()[layout.HEAD]
            stale = max(0, min(count, head + 1 - capacity - tail))
            overwritten += stale
        kept, unproven = self._prove(into, tail, stale, count, final)
        self._tail = tail + stale + kept + unproven
        self._ring.store(self._tail, self._drops.seen)
        more = head != self._tail and not self._attempts
        return Drained(kept, dropped, overwritten, unproven, facts, more)

    def copy(self, into: Entries, at: int) -> int:
        """The first half of `drain` for the common case, for a caller that proves the entries of many rings
        at once: copies all that is new to `into`, from row `at` on, and moves nothing. Returns how many;
        −1 when it takes `drain`: something was dropped or cannot be true, or there is not room for all.

        Entry number k of them must have the sequence `tail` + 1 + k; then `accept`, else `drain`.
        Raises RefusedRingError when the file was cut short.
        """
        words = self._ring.look()
        if self._drops.are_new(words):
            return -1
        count = words[layout.HEAD] - self._tail
        if count == 0:
            return 0
        if not self._plain or not 0 < count <= min(self.identity.capacity, len(into) - at):
            return -1
        self._ring.copy(self._tail, count, into[at : at + count])
        return count

    def take(self, into: memoryview, at: int, limit_ns: int) -> tuple[int, bool]:
        """`copy`, proof and `accept` in one step, in C; and whether a DURATION of `limit_ns` or more was
        among it. −1 when it takes `drain`."""
        look = self._look
        if look is None:
            return -1, False
        seen = (self._drops.seen, self._drops.facts_seen, self._names_used)
        count: int = look.take(into, at, self._tail, *seen, limit_ns)
        if count <= 0:
            return count, False
        self._attempts = 0
        self._tail += count
        return count, look.slow

    def accept(self, count: int) -> None:
        """The second half: what was copied is proven, and its slots are the writer's again."""
        self._attempts = 0
        self._tail += count
        self._ring.store(self._tail, self._drops.seen)

    def close(self) -> None:
        """Let go of it; never unlinks."""
        if self._look is not None:
            self._look.close()
        self._words = memoryview(bytearray(layout.NAMES_BYTE)).cast("Q")
        self._ring.close()

    def _skip_to(self, oldest: int) -> int:
        skipped = max(0, oldest - self._tail)
        self._tail += skipped
        return skipped

    def _prove(self, into: Entries, tail: int, stale: int, count: int, final: bool) -> tuple[int, int]:
        """(entries kept and moved to the front, entries given up); the rest is looked at again."""
        proven = proven_rows(into[stale:count], tail + stale, self.identity.proof)
        if proven.all():
            self._attempts = 0
            if stale:
                into[: count - stale] = into[stale:count].copy()
            return count - stale, 0
        first_unproven = int(np.argmin(proven))
        self._attempts = 1 if first_unproven else self._attempts + 1
        if not final and self._attempts < PROOF_ATTEMPTS:
            proven = proven[:first_unproven]
        else:
            self._attempts = 0
        rows = into[stale : stale + len(proven)][proven]
        into[: len(rows)] = rows
        return len(rows), len(proven) - len(rows)


def read_identity(path: Path) -> Identity:
    """Line 0 of a ring file, and nothing else of it. Raises as `RingReader.attach` does."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return _identity_in(fd)
    finally:
        os.close(fd)


def _identity_in(fd: int) -> Identity:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise RefusedRingError("not_a_file")
    return layout.unpack_identity(os.pread(fd, layout.LINE_BYTES, 0), found.st_size)
