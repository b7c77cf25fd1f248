"""Applies the journal's records in order, from the oldest: what they add up to is the journal's state."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.delivery import Delivery
from pipeline.errors import DamagedError
from pipeline.storage.journal.index import ENTRY, Index
from pipeline.storage.journal.keys import KeyEntry, KeyTable
from pipeline.storage.journal.layout import BASE, EVENT, FATE, KEYS, KNOWN
from pipeline.storage.journal.records import (
    EventRecord,
    Inherited,
    Part,
    decode_base,
    decode_event,
    decode_fate,
    decode_keys,
    event_id,
    identity,
)
from pipeline.storage.journal.scan import Record
from pipeline.storage.journal.segment import Segment


class Controls:
    """The control state in force: by aspect, what a key first seen now begins with."""

    def __init__(self) -> None:
        self.births: dict[str, Inherited] = {}

    def apply(self, record: EventRecord, identified_as: bytes) -> None:
        """A control event sets what it names: a payload from now on, or, empty, nothing any more."""
        for aspect, payload in (record.births or {}).items():
            self.births.pop(aspect, None)
            if payload:
                self.births[aspect] = Inherited(
                    identified_as, record.source, record.webhook_id, payload, record.traceparent,
                    record.checks,
                )  # fmt: skip


class _Found:
    """A part of an event, as last seen: a copy carried forward replaces the original."""

    __slots__ = ("part", "record", "segment", "size")

    def __init__(self, record: EventRecord, part: Part, segment: Segment, size: int) -> None:
        self.record = record
        self.part = part
        self.segment = segment
        self.size = size


class Replay:
    """`apply` every record, then `finish`."""

    def __init__(self, index: Index, oldest_us: int) -> None:
        self.index = index
        self.keys = KeyTable()
        self.controls = Controls()
        self.accepted_us = 0
        self.first_segment = 1
        self._oldest_us = oldest_us
        self._found: dict[str, dict[int, _Found]] = {}
        self._fates: dict[tuple[str, int], int] = {}
        self._appliers: dict[bytes, Callable[[Record, Segment], None]] = {
            EVENT: self._event,
            FATE: self._fate,
            KEYS: self._keys,
            KNOWN: self._known,
            BASE: self._base,
        }

    def apply(self, record: Record, segment: Segment) -> None:
        """Take in an intact record that lies in `segment`; unknown kinds of a newer version are skipped."""
        applier = self._appliers.get(record.tag)
        if applier is not None:
            applier(record, segment)

    def finish(self) -> list[Delivery]:
        """What is not settled, per key in order. Raises DamagedError when something of a key is missing."""
        deliveries: list[Delivery] = []
        for key, entry in self.keys.entries.items():
            found = self._found.pop(key, {})
            counter, entry.counter = entry.counter, entry.mark
            for key_seq in range(entry.mark + 1, counter + 1):
                if key_seq not in found:
                    raise DamagedError(
                        f"journal: event {key_seq} of key {key} is neither settled nor there "
                        f"(settled up to {entry.mark}, accepted up to {counter})"
                    )
                deliveries.append(self._revive(entry, found[key_seq]))
        return deliveries

    def _revive(self, entry: KeyEntry, found: _Found) -> Delivery:
        record, part = found.record, found.part
        self.keys.add(part.key, found.segment, found.size, record.accepted_us)
        fate = self._fates.get((part.key, part.key_seq), part.fate)
        if fate:
            entry.fates[part.key_seq] = fate
        return delivery_of(record, part, fate, event_id(record.source, record.webhook_id, record.jno))

    def _event(self, record: Record, segment: Segment) -> None:
        event = decode_event(record.body)
        if not event.jno:
            event.jno = record.sequence
        for part in event.parts:
            entry = self.keys.entry(part.key)
            entry.counter = max(entry.counter, part.key_seq)
            if part.key_seq > entry.mark:
                share = share_of(record.size, len(event.parts))
                self._found.setdefault(part.key, {})[part.key_seq] = _Found(event, part, segment, share)
        if event.births is not None:
            self.controls.apply(event, event_id(event.source, event.webhook_id, event.jno))
        entry_bytes = ENTRY.pack(
            identity(event.source, event.webhook_id), event.fingerprint, event.jno, event.accepted_us
        )
        self._remember(entry_bytes, event.accepted_us, segment)

    def _fate(self, record: Record, segment: Segment) -> None:  # noqa: ARG002
        fate = decode_fate(record.body)
        self._fates[fate.key, fate.key_seq] = fate.fate

    def _keys(self, record: Record, segment: Segment) -> None:
        rows = decode_keys(record.body).keys
        for key, counter, mark in rows:
            entry = self.keys.entry(key)
            entry.counter = max(entry.counter, counter)
            found = self._found.get(key)
            if found:
                for key_seq in range(entry.mark + 1, mark + 1):
                    found.pop(key_seq, None)
                    self._fates.pop((key, key_seq), None)
            entry.mark = max(entry.mark, mark)
        self.keys.recorded([row[0] for row in rows], segment)

    def _known(self, record: Record, segment: Segment) -> None:
        for offset in range(0, len(record.body), ENTRY.size):
            entry = record.body[offset : offset + ENTRY.size]
            self._remember(entry, ENTRY.unpack(entry)[3], segment)

    def _base(self, record: Record, segment: Segment) -> None:  # noqa: ARG002
        base = decode_base(record.body)
        self.first_segment = base.first_segment
        self.accepted_us = max(self.accepted_us, base.accepted_us)
        self.controls.births = dict(base.births)

    def _remember(self, entry: bytes, accepted_us: int, segment: Segment) -> None:
        self.accepted_us = max(self.accepted_us, accepted_us)
        segment.known += 1
        segment.newest_us = max(segment.newest_us, accepted_us)
        if accepted_us > self._oldest_us:
            self.index.add(entry, accepted_us)


def share_of(record_bytes: int, parts: int) -> int:
    """What one part of a record counts for."""
    return max(1, record_bytes // max(1, parts))


def delivery_of(record: EventRecord, part: Part, fate: int, identified_as: bytes) -> Delivery:
    """The part as it travels; a part that a new key was born with is the control event's own."""
    key, key_seq, at_us, by = part.key, part.key_seq, record.accepted_us, part.born
    if by is not None:
        return Delivery(
            key, key_seq, by.event_id, by.source, by.webhook_id, at_us, fate, by.payload,
            traceparent=by.traceparent, checks=by.checks,
        )  # fmt: skip
    return Delivery(
        key, key_seq, identified_as, record.source, record.webhook_id, at_us, fate, record.payload,
        traceparent=record.traceparent, checks=record.checks,
    )  # fmt: skip
