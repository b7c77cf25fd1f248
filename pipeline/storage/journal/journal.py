"""The gateway's journal: the one place that says what was accepted, as what, and how it ended.

Thread model: everything belongs to one thread, the event loop's, except `sync`, which one executor
thread at a time may run. Nothing returned by `accept` may be dispatched or answered before
`synced >= jno`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from msgspec import Struct

from pipeline import limits
from pipeline.clock import NS_PER_S, US_PER_S, Clock
from pipeline.config.schema import Journal as Settings
from pipeline.delivery import Delivery
from pipeline.errors import DamagedError, MissingError
from pipeline.messages import Fate
from pipeline.storage.journal.compaction import Compaction
from pipeline.storage.journal.disk import Disk, OsDisk
from pipeline.storage.journal.errors import DuplicateError, JournalBrokenError, JournalFullError
from pipeline.storage.journal.index import ENTRY, Index, Known
from pipeline.storage.journal.kept import Kept, Range
from pipeline.storage.journal.layout import EVENT, FATE, RECORD_HEAD_BYTES
from pipeline.storage.journal.log import Log
from pipeline.storage.journal.records import (
    ID_BYTES,
    EventRecord,
    FateRecord,
    Part,
    encode,
    event_id_from,
    identity_hash,
)
from pipeline.storage.journal.recovery import recover
from pipeline.storage.journal.replay import delivery_of, share_of
from pipeline.storage.journal.spare import Spare

_Missed = tuple[str, str, bytes, "hashlib._Hash"]
"""A lookup that found nothing: source, webhook-id, identity, and the hash to make the event_id of."""


class Accepted(Struct, gc=False):
    """An accepted event: its number, its identity, and what to dispatch once `synced >= jno`."""

    jno: int
    event_id: bytes
    accepted_us: int
    deliveries: list[Delivery]


class Journal:
    """Open one with `open`; `close` it to leave nothing to recover."""

    def __init__(self, disk: Disk, settings: Settings, clock: Clock) -> None:
        self._disk = disk
        self._settings = settings
        self._clock = clock
        self._retention_us = settings.retention_s * US_PER_S
        self._index = Index(self._retention_us)
        found = recover(disk, clock, self._index, clock.wall_us() - self._retention_us)
        self._keys = found.replay.keys
        self._controls = found.replay.controls
        self._accepted_us = found.replay.accepted_us
        spare = Spare(disk, settings.segment_bytes)
        spare.adopt()
        self._log = Log(disk, found.mark, spare, settings.segment_bytes, found.segments, found.next_sequence)
        self._compaction = Compaction(disk, self._log, self._keys, self._controls, lambda: self._accepted_us)
        self._marks_ns = clock.monotonic_ns()
        self._oldest_us = self._keys.oldest_accepted_us()
        self._missed: _Missed | None = None
        self._held = False
        self.recovered: list[Delivery] = found.deliveries
        """What was accepted and not settled when the journal was opened, per key in order, fates applied.

        All of it counts as dispatched: none of it may expire any more."""

    @classmethod
    def open(cls, directory: Path, settings: Settings, clock: Clock) -> Self:
        """Open or create the journal in `directory` and recover what it holds.

        Raises MissingError when it is locked, unreadable or the disk is full, DamagedError naming file
        and offset when anything that was synced is not there.
        """
        return cls.on(OsDisk(directory), settings, clock)

    @classmethod
    def on(cls, disk: Disk, settings: Settings, clock: Clock) -> Self:
        """The same on any disk."""
        try:
            return cls(disk, settings, clock)
        except BaseException as error:
            disk.close()
            if isinstance(error, OSError):
                where = disk.describe(str(error.filename or ""))
                raise MissingError(f"journal {where}: {error.strerror or error}") from None
            raise

    # ---- intake -----------------------------------------------------------------------------------------

    def lookup(self, source: str, webhook_id: str) -> Known | None:
        """The event accepted under this identity within retention."""
        hashed = identity_hash(source, webhook_id)
        identity = hashed.digest()[:ID_BYTES]
        found = self._index.find(identity, self._now_us())
        if found is None:
            self._missed = (source, webhook_id, identity, hashed)
            return None
        fingerprint, jno, accepted_us = found
        identified = event_id_from(hashed, jno)
        return Known(fingerprint, identified, accepted_us, jno, jno <= self._log.synced)

    def accept(
        self,
        source: str,
        webhook_id: str,
        fingerprint: bytes,
        key: str | None,
        payload: bytes,
        births: Mapping[str, bytes] | None = None,
        traceparent: str = "",
        checks: bytes = b"",
    ) -> Accepted:
        """Take an event in, as one transaction. Nothing of it is on disk before the next `sync`.

        `fingerprint` (16 bytes) identifies the body; `payload` is an encoded `messages.Event`. `key` None
        makes it a control event: it gets a part for every key known, and sets `births`, by aspect the
        payload that keys first seen later begin with (empty: none any more; an aspect not named stays).
        `traceparent` and `checks` travel with the event and decide nothing.

        Raises DuplicateError, JournalFullError (nothing has changed), or JournalBrokenError.
        """
        log = self._log
        if log.broken is not None:
            raise log.broken
        missed = self._sure_miss(source, webhook_id)
        if len(fingerprint) != ID_BYTES:
            raise ValueError(f"a fingerprint has {ID_BYTES} bytes, not {len(fingerprint)}")
        accepted_us = self._now_us()
        parts = self._parts_of_all() if key is None else self._parts_of(key)
        sets = dict(births or {}) if key is None else None
        record = EventRecord(
            0, accepted_us, fingerprint, source, webhook_id, payload, parts, sets, traceparent, checks
        )
        body = encode(record)
        self._make_sure_of_room(key, len(body), accepted_us)
        record.jno = log.append(EVENT, body)
        self._accepted_us = accepted_us
        return self._taken(record, missed, RECORD_HEAD_BYTES + len(body))

    def fate(self, key: str, key_seq: int, fate: Fate) -> int:
        """Record what was decided about an unsettled event; it holds once the returned number is synced."""
        entry = self._keys.entries.get(key)
        if entry is None or not entry.mark < key_seq <= entry.counter:
            raise ValueError(f"key {key}: event {key_seq} is not unsettled, so it has no fate to decide")
        if self._log.broken is not None:
            raise self._log.broken
        entry.fates[key_seq] = int(fate)
        return self._log.append(FATE, encode(FateRecord(key, key_seq, int(fate))))

    # ---- progress ---------------------------------------------------------------------------------------

    def sync(self) -> int:
        """Write and sync all that was appended so far; returns the number up to which all is on disk.

        Raises DiskFullError (call again later) or JournalBrokenError (final). Then nothing beyond
        `synced` may be acknowledged.
        """
        return self._log.sync()

    def settled(self, key: str, last: int) -> None:
        """Everything of `key` up to `last` is audited. Raises DamagedError when the audit is ahead."""
        self._keys.settle(key, last)

    def maintain(self) -> bool:
        """Call several times a second: persists marks, forgets, frees segments; a few ms at most.

        True when there is more to do at once. What it appends reaches the disk with the next `sync`.
        """
        if self._log.broken is not None:
            return False
        self._log.reap()
        now_us = self._now_us()
        self._index.expire(now_us)
        self._oldest_us = self._keys.oldest_accepted_us()
        now_ns = self._clock.monotonic_ns()
        if self._keys.dirty and now_ns - self._marks_ns >= limits.MARKS_EVERY_S * NS_PER_S:
            self._compaction.record_marks()
            self._marks_ns = now_ns
        try:
            if self._held:
                return False
            keep_us = now_us - self._settings.keep_settled_s * US_PER_S
            return self._compaction.step(now_us - self._retention_us, self._settings.max_bytes, keep_us)
        except (OSError, DamagedError) as error:
            self._log.broken = JournalBrokenError(str(error))
            raise self._log.broken from error

    def compact(self) -> None:
        """`maintain` until there is nothing more to do before the next `sync`."""
        while self.maintain():
            pass

    # ---- what is settled, and may have to be sent again -------------------------------------------------

    def settled_keys(self) -> list[str]:
        """The keys that have anything settled."""
        return [key for key, entry in self._keys.entries.items() if entry.mark]

    def stopped(self, key: str, *, stopped: bool) -> None:
        """Those of a stopped key do not count for the age of the oldest event: they wait for people."""
        (self._keys.stopped.add if stopped else self._keys.stopped.discard)(key)

    def kept(self, wanted: Mapping[str, Range]) -> Kept:
        """What there is of the settled events in `wanted`; frees no segment until `let_go`."""
        self._held = True
        segments = self._log.segments.values()
        staying = [segment for segment in segments if segment.number > self._compaction.doomed]
        return Kept(self._disk, staying, wanted)

    def let_go(self) -> None:
        """What `kept` told of may be freed again."""
        self._held = False

    def close(self) -> None:
        """Persist the marks, sync, unlock. No `sync` may be under way."""
        try:
            if self._log.broken is None:
                self._compaction.record_marks()
            self._log.close()
        finally:
            self._disk.close()

    # ---- facts ------------------------------------------------------------------------------------------

    @property
    def synced(self) -> int:
        """Everything up to this number is on disk."""
        return self._log.synced

    @property
    def unsynced(self) -> bool:
        """Something was appended that no `sync` has brought to disk yet."""
        return self._log.unsynced

    @property
    def depth(self) -> int:
        """Events of keys that are not settled."""
        return self._keys.depth

    @property
    def bytes_used(self) -> int:
        """Bytes of all segment files."""
        return self._log.bytes_used

    @property
    def oldest_accepted_us(self) -> int | None:
        """Accept time of the oldest unsettled event as of the last `maintain`; None: all is settled."""
        return self._oldest_us

    @property
    def controls(self) -> Mapping[str, bytes]:
        """The control state in force: by aspect, the payload a new key would begin with."""
        return {aspect: birth.payload for aspect, birth in self._controls.births.items()}

    def last(self, key: str) -> tuple[int, int]:
        """(last key_seq given, last key_seq settled) of `key`; (0, 0) for one never seen."""
        entry = self._keys.entries.get(key)
        return (0, 0) if entry is None else (entry.counter, entry.mark)

    # ---- inside -----------------------------------------------------------------------------------------

    def _now_us(self) -> int:
        """The wall clock, never falling: a signal's clock is its accept time."""
        now_us, least_us = self._clock.wall_us(), self._accepted_us
        return now_us if now_us > least_us else least_us

    def _sure_miss(self, source: str, webhook_id: str) -> _Missed:
        """The latest lookup, if it was this one and missed; nothing was accepted since. Else asks again."""
        missed, self._missed = self._missed, None
        if missed is None or missed[0] != source or missed[1] != webhook_id:
            known = self.lookup(source, webhook_id)
            if known is not None:
                raise DuplicateError(source, webhook_id, known)
            missed, self._missed = self._missed, None
            assert missed is not None
        return missed

    def _parts_of(self, key: str) -> list[Part]:
        """The event for its key, after the control state in force if the key is new."""
        entry = self._keys.entries.get(key)
        if entry is not None:
            return [Part(key, entry.counter + 1)]
        if len(self._keys.entries) >= limits.MAX_JOURNAL_KEYS:
            raise JournalFullError(
                f"{limits.MAX_JOURNAL_KEYS} keys is the limit", limits.JOURNAL_FULL_RETRY_S
            )
        births = enumerate(self._controls.births.values(), 1)
        parts = [Part(key, key_seq, 0, birth) for key_seq, birth in births]
        return [*parts, Part(key, len(parts) + 1)]

    def _parts_of_all(self) -> list[Part]:
        return [Part(key, entry.counter + 1) for key, entry in self._keys.entries.items()]

    def _make_sure_of_room(self, key: str | None, body_bytes: int, now_us: int) -> None:
        log, settings = self._log, self._settings
        if log.stalled:
            raise JournalFullError("no space left on the disk", limits.JOURNAL_FULL_RETRY_S)
        growth = log.growth(body_bytes)
        # Compaction keeps a segment's room to copy into; a halt must get through and may use it. An event
        # may not even use what is free in a segment that marks or copies had to begin beyond the bound.
        kept = settings.segment_bytes if key is not None else 0
        if (growth or kept) and log.bytes_used + growth + kept > settings.max_bytes:
            raise JournalFullError(
                f"{log.bytes_used} bytes in use of {settings.max_bytes}", limits.JOURNAL_FULL_RETRY_S
            )
        if key is not None:
            self._make_sure_of_share(key, body_bytes, now_us)

    def _make_sure_of_share(self, key: str, body_bytes: int, now_us: int) -> None:
        settings = self._settings
        entry = self._keys.entries.get(key)
        share = settings.max_bytes // limits.KEY_SHARE_OF_JOURNAL
        if entry is not None and entry.bytes + body_bytes > share:
            raise JournalFullError(
                f"key {key} holds {entry.bytes} unsettled bytes of its {share}", limits.KEY_FULL_RETRY_S
            )
        limit_s = settings.max_age_s
        if self._oldest_us is not None and now_us - self._oldest_us > limit_s * US_PER_S:
            raise JournalFullError(
                f"the oldest unsettled event is older than {limit_s} s", limits.JOURNAL_FULL_RETRY_S
            )

    def _taken(self, record: EventRecord, missed: _Missed, size: int) -> Accepted:
        """The record is in the log: count it everywhere."""
        segment = self._log.active
        assert segment is not None
        parts = record.parts
        share = size if len(parts) == 1 else share_of(size, len(parts))
        keys = self._keys
        for part in parts:
            keys.add(part.key, segment, share, record.accepted_us)
        segment.known += 1
        segment.newest_us = record.accepted_us
        _, _, identity, hashed = missed
        jno, accepted_us = record.jno, record.accepted_us
        self._index.add(ENTRY.pack(identity, record.fingerprint, jno, accepted_us), accepted_us)
        identified = event_id_from(hashed, jno)
        if record.births is not None:
            self._controls.apply(record, identified)
        deliveries = [delivery_of(record, part, 0, identified) for part in record.parts]
        return Accepted(jno, identified, accepted_us, deliveries)
