"""Reads one segment: what is intact, where it stops, and what its bytes prove about the sync."""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

from pipeline.storage.journal.layout import (
    CRC,
    GROUP,
    GROUP_BYTES,
    HEADER_BYTES,
    RECORD_HEAD_BYTES,
    TAG_OFFSET,
    WORD,
    Header,
    unpack_header,
)

_HEAD = struct.Struct("<IIQ4s")


class Record(NamedTuple):
    """One intact record; `size` counts its head."""

    sequence: int
    tag: bytes
    body: bytes
    size: int


class SegmentScan(NamedTuple):
    """A segment as found. `end` is where the intact records stop.

    `clean` says that nothing but zeros follows, up to the size the segment was made with. `evidence` is
    the highest synced sequence that any intact group in the file names, also beyond `end`.
    """

    number: int
    header: Header | None
    records: list[Record]
    end: int
    clean: bool
    evidence: int


def scan_segment(number: int, data: bytes) -> SegmentScan:
    header = unpack_header(data)
    if header is None or header.number != number:
        return SegmentScan(number, None, [], 0, not any(data), 0)
    records, end = read_records(data, HEADER_BYTES, header.first_sequence, header.salt)
    evidence = max((WORD.unpack(r.body)[0] for r in records if r.tag == GROUP), default=0)
    clean = len(data) == header.size and data.count(0, end) == len(data) - end
    if not clean:
        evidence = max(evidence, _evidence(data, end, header.salt))
    return SegmentScan(number, header, records, end, clean, evidence)


def read_records(data: bytes, offset: int, sequence: int, salt: int) -> tuple[list[Record], int]:
    """The intact, consecutive records from `offset`, the first being `sequence`, and where they stop."""
    records: list[Record] = []
    view, size = memoryview(data), len(data)
    while offset + RECORD_HEAD_BYTES <= size:
        crc, length, found, tag = _HEAD.unpack_from(data, offset)
        stop = offset + RECORD_HEAD_BYTES + length
        if (
            not length
            or stop > size
            or found != sequence
            or crc32(view[offset + CRC.size : stop], salt) != crc
        ):
            break
        records.append(Record(sequence, tag, data[offset + RECORD_HEAD_BYTES : stop], stop - offset))
        offset, sequence = stop, sequence + 1
    return records, offset


def _evidence(data: bytes, start: int, salt: int) -> int:
    """The highest synced sequence named by an intact group anywhere after `start` (≥ HEADER_BYTES)."""
    highest = 0
    found = data.find(GROUP, start)
    while found >= 0:
        offset = found - TAG_OFFSET
        (sequence,) = WORD.unpack_from(data, found - WORD.size)
        group, _ = read_records(data[offset : offset + GROUP_BYTES], 0, sequence, salt)
        if group and group[0].size == GROUP_BYTES:
            highest = max(highest, WORD.unpack(group[0].body)[0])
        found = data.find(GROUP, found + 1)
    return highest
