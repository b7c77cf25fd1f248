"""Finds settled events that the journal still holds, and reads them again as they were dispatched.

One pass over the segments notes where each event lies, eight bytes each; then they are read in the order of
their key, some at a time. Runs in any thread: it only reads files that nobody may unlink meanwhile.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pipeline.delivery import Delivery
from pipeline.errors import DamagedError
from pipeline.storage.journal.disk import Disk
from pipeline.storage.journal.layout import EVENT, FATE, HEADER_BYTES, RECORD_HEAD_BYTES
from pipeline.storage.journal.records import decode_event, decode_fate, event_id
from pipeline.storage.journal.replay import delivery_of
from pipeline.storage.journal.scan import read_records
from pipeline.storage.journal.segment import Segment

Range = tuple[int, int]
"""First and last key_seq."""

_HEAD = struct.Struct("<IIQ4s")
_OFFSET_BITS = 32


class _File(NamedTuple):
    """A segment as it was when the search began."""

    name: str
    first_sequence: int
    salt: int
    filled: int


class Kept:
    """The events in `wanted`, by key the range of key_seqs, as far as they are still there."""

    def __init__(self, disk: Disk, segments: Sequence[Segment], wanted: Mapping[str, Range]) -> None:
        self._disk = disk
        self._files = {
            segment.number: _File(segment.name, segment.first_sequence, segment.salt, segment.filled)
            for segment in segments
            if segment.exists
        }
        self._wanted = dict(wanted)
        self._places = {
            key: array("Q", bytes(8 * (last - first + 1))) for key, (first, last) in wanted.items()
        }
        self._fates: dict[tuple[str, int], int] = {}

    def search(self) -> None:
        """Goes through every segment. Raises OSError."""
        for number, file in self._files.items():
            self._search_file(number, file)

    def missing(self, key: str) -> list[Range]:
        """The wanted key_seqs that are not there any more, as ranges."""
        first, _ = self._wanted[key]
        ranges: list[Range] = []
        for index, place in enumerate(self._places[key]):
            if place:
                continue
            key_seq = first + index
            if ranges and ranges[-1][1] == key_seq - 1:
                ranges[-1] = (ranges[-1][0], key_seq)
            else:
                ranges.append((key_seq, key_seq))
        return ranges

    def read(self, key: str, start: int, count: int) -> list[Delivery]:
        """Up to `count` events from key_seq `start` on, of a key that misses none. Raises OSError and
        DamagedError."""
        first, last = self._wanted[key]
        upto = min(last, start + count - 1)
        return [
            self._read(key, key_seq, self._places[key][key_seq - first]) for key_seq in range(start, upto + 1)
        ]

    def _search_file(self, number: int, file: _File) -> None:
        data = self._disk.read(file.name, 0, file.filled)
        records, _ = read_records(data, HEADER_BYTES, file.first_sequence, file.salt)
        offset = HEADER_BYTES
        for record in records:
            if record.tag == EVENT:
                for key, key_seq in self._hits(record.body):
                    first, _ = self._wanted[key]
                    self._places[key][key_seq - first] = number << _OFFSET_BITS | offset
            elif record.tag == FATE:
                fate = decode_fate(record.body)
                if fate.key in self._wanted:
                    self._fates[fate.key, fate.key_seq] = fate.fate
            offset += record.size

    def _hits(self, body: bytes) -> Iterator[tuple[str, int]]:
        for part in decode_event(body).parts:
            bounds = self._wanted.get(part.key)
            if bounds is not None and bounds[0] <= part.key_seq <= bounds[1]:
                yield part.key, part.key_seq

    def _read(self, key: str, key_seq: int, place: int) -> Delivery:
        file, offset = self._files[place >> _OFFSET_BITS], place & ((1 << _OFFSET_BITS) - 1)
        head = self._disk.read(file.name, offset, RECORD_HEAD_BYTES)
        _, length, sequence, _ = _HEAD.unpack(head)
        data = self._disk.read(file.name, offset, RECORD_HEAD_BYTES + length)
        records, _ = read_records(data, 0, sequence, file.salt)
        if not records:
            where = self._disk.describe(file.name)
            raise DamagedError(f"journal {where}: damaged at byte {offset}: record {sequence}")
        event = decode_event(records[0].body)
        event.jno = event.jno or sequence
        part = next(part for part in event.parts if part.key == key and part.key_seq == key_seq)
        fate = self._fates.get((key, key_seq), part.fate)
        return delivery_of(event, part, fate, event_id(event.source, event.webhook_id, event.jno))
