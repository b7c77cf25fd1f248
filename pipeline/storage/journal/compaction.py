"""Frees the oldest segment: what still matters in it is carried to the journal's end, then it goes.

Order, and why: unsettled events with their fates, identities within retention, then every
moved mark and the counters whose latest record lies there, then BASE with the control state; only when
all of that is synced is the file unlinked. Otherwise a quiet key would start again at 1 and be answered
"settled" for another event.

Work is done in slices of `limits.CARRY_SLICE_BYTES`, so the event loop never stops for a whole segment.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline import limits
from pipeline.errors import DamagedError
from pipeline.storage.journal.disk import Disk
from pipeline.storage.journal.index import ENTRY
from pipeline.storage.journal.keys import KeyTable
from pipeline.storage.journal.layout import (
    BASE,
    EVENT,
    HEADER_BYTES,
    KEYS,
    KNOWN,
)
from pipeline.storage.journal.log import Log
from pipeline.storage.journal.records import (
    BaseRecord,
    EventRecord,
    KeysRecord,
    Part,
    decode_event,
    encode,
    identity,
)
from pipeline.storage.journal.replay import Controls
from pipeline.storage.journal.scan import Record, read_records
from pipeline.storage.journal.segment import Segment

_DEAD_PART = 4
_SURELY_DEAD_PART = 2
"""Carrying begins when a quarter of the journal is dead; above its bound, when a quarter is dead beside what
carrying writes, or half."""
_KEY_BYTES = 32
"""About what a key takes in a KEYS record."""


class Compaction:
    """Carries one segment at a time. `accepted_us` tells the latest accept time given."""

    def __init__(
        self,
        disk: Disk,
        log: Log,
        keys: KeyTable,
        controls: Controls,
        accepted_us: Callable[[], int],
    ) -> None:
        self._disk = disk
        self._log = log
        self._keys = keys
        self._controls = controls
        self._accepted_us = accepted_us
        self._carrying: Segment | None = None
        self._offset = 0
        self._sequence = 0
        self.doomed = 0
        """Every segment up to this number is carried and only waits to be unlinked."""

    def step(self, oldest_us: int, max_bytes: int, keep_us: int) -> bool:
        """Do a slice of work; identities accepted up to `oldest_us` need not be kept, and what was accepted
        after `keep_us` should be while there is room.

        True when there is more to do at once.
        """
        segment = self._carrying
        if segment is None:
            segment = self._choose(oldest_us, max_bytes, keep_us)
            if segment is None:
                return False
            self._carrying, self._offset = segment, HEADER_BYTES
            self._sequence = segment.first_sequence
        if segment.live or segment.newest_us > oldest_us:
            self._carry_slice(segment, oldest_us)
            if self._offset < segment.filled:
                return True
        self._finish(segment)
        return True

    def record_marks(self) -> None:
        """Journal every settled mark that has moved."""
        self._record_keys(self._keys.dirty)

    def _choose(self, oldest_us: int, max_bytes: int, keep_us: int) -> Segment | None:
        """The oldest segment, if it is free, or if space is short and enough of the journal is dead."""
        segments = [s for s in self._log.segments.values() if s.number > self.doomed]
        if len(segments) < 2:
            return None
        oldest = segments[0]
        if oldest.first_sequence > self._log.synced or segments[1].first_sequence > self._log.synced + 1:
            return None
        if not oldest.live and oldest.newest_us <= min(oldest_us, keep_us):
            return oldest
        if 2 * self._log.bytes_used <= max_bytes or self._log.dooming:
            return None  # one at a time, or a slow sync would let copies pile up above max_bytes
        dead = sum(_dead_bytes(segment, oldest_us) for segment in segments[:-1])
        enough = max(oldest.size // 2, self._log.bytes_used // _DEAD_PART)
        if self._log.bytes_used + oldest.size > max_bytes:
            # Above its bound the journal copies only for a sure gain: what carrying itself writes must never
            # be more than what it frees, or it would grow by being cleaned. Every segment carried may cost
            # a mark of every key once more.
            marks = len(segments) * len(self._keys.entries) * _KEY_BYTES
            enough = min(enough + marks, max(enough, self._log.bytes_used // _SURELY_DEAD_PART))
        return oldest if dead >= enough else None

    def _carry_slice(self, segment: Segment, oldest_us: int) -> None:
        length = min(limits.CARRY_SLICE_BYTES, segment.filled - self._offset)
        records: list[Record] = []
        while not records:
            data = self._disk.read(segment.name, self._offset, length)
            records, consumed = read_records(data, 0, self._sequence, segment.salt)
            if not records and self._offset + length >= segment.filled:
                where = self._disk.describe(segment.name)
                raise DamagedError(
                    f"journal {where}: damaged at byte {self._offset}: record {self._sequence}"
                )
            length = min(2 * length, segment.filled - self._offset)
        known: list[bytes] = []
        for record in records:
            if record.tag == EVENT:
                self._carry_event(record, oldest_us, known)
            elif record.tag == KNOWN:
                known += _within(record.body, oldest_us)
        self._carry_known(known)
        self._offset += consumed
        self._sequence += len(records)

    def _carry_event(self, record: Record, oldest_us: int, known: list[bytes]) -> None:
        event = decode_event(record.body)
        event.jno = event.jno or record.sequence
        parts = [self._with_fate(p) for p in event.parts if p.key_seq > self._keys.entries[p.key].mark]
        if parts:
            self._carry_parts(event, parts)
        elif event.accepted_us > oldest_us:
            digest = identity(event.source, event.webhook_id)
            known.append(ENTRY.pack(digest, event.fingerprint, event.jno, event.accepted_us))

    def _with_fate(self, part: Part) -> Part:
        part.fate = self._keys.entries[part.key].fates.get(part.key_seq, part.fate)
        return part

    def _carry_parts(self, event: EventRecord, parts: list[Part]) -> None:
        event.parts, event.births = parts, None
        segment = self._append(EVENT, encode(event))
        for part in parts:
            self._keys.rehome(self._keys.entries[part.key], part.key_seq, segment)
        segment.known += 1
        segment.newest_us = max(segment.newest_us, event.accepted_us)

    def _carry_known(self, known: list[bytes]) -> None:
        for start in range(0, len(known), limits.KNOWN_A_RECORD):
            some = known[start : start + limits.KNOWN_A_RECORD]
            segment = self._append(KNOWN, b"".join(some))
            segment.known += len(some)
            segment.newest_us = max(segment.newest_us, *(ENTRY.unpack(entry)[3] for entry in some))

    def _finish(self, segment: Segment) -> None:
        self._record_keys(self._keys.dirty | segment.keys)
        base = BaseRecord(segment.number + 1, self._accepted_us(), self._controls.births)
        self._log.doom(segment, self._log.append(BASE, encode(base)))
        self.doomed = segment.number
        self._carrying = None

    def _record_keys(self, names: set[str]) -> None:
        ordered = sorted(names)
        for start in range(0, len(ordered), limits.KEYS_A_RECORD):
            some = ordered[start : start + limits.KEYS_A_RECORD]
            entries = self._keys.entries
            rows = [(key, entries[key].counter, entries[key].mark) for key in some]
            self._keys.recorded(some, self._append(KEYS, encode(KeysRecord(rows))))

    def _append(self, tag: bytes, body: bytes) -> Segment:
        self._log.append(tag, body)
        assert self._log.active is not None
        return self._log.active


def _dead_bytes(segment: Segment, oldest_us: int) -> int:
    """What carrying the segment would free."""
    known = segment.known if segment.newest_us > oldest_us else 0
    carried = segment.live_bytes + known * (ENTRY.size + 1) + len(segment.keys) * _KEY_BYTES
    return segment.filled - carried


def _within(body: bytes, oldest_us: int) -> list[bytes]:
    entries = [body[offset : offset + ENTRY.size] for offset in range(0, len(body), ENTRY.size)]
    return [entry for entry in entries if ENTRY.unpack(entry)[3] > oldest_us]
