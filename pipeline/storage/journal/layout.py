"""The journal's bytes. All numbers are little-endian; every CRC is zlib's CRC-32.

A segment file, `NNNNNNNNNNNNNNNN.seg` (its number in hex), zero-filled to `size` before it is used:

     0       8         16       24     32               40     44    48     64
    +-------+---------+--------+------+----------------+------+-----+------+--------+--------+---
    | magic | version | number | size | first sequence | salt | crc | zero | record | record | … zeros to size
    +-------+---------+--------+------+----------------+------+-----+------+--------+--------+---
    crc over bytes 0 to 44; the salt is random, and every record's CRC begins with it: neither an old block
    nor bytes that a sender put into an event can pass for a record

A record:

     0     4        8          16    20
    +-----+--------+----------+-----+----------------------+
    | crc | length | sequence | tag | body, `length` bytes |
    +-----+--------+----------+-----+----------------------+
    crc over everything after it; sequences are consecutive over all segments; a length of 0 ends the file

The mark file, `mark`, two slots a page apart, written in turn, so that a torn write leaves the other one:

     0       8            16       24
    +-------+------------+--------+-----+
    | magic | generation | synced | crc |       at byte 0 (even generations) and byte 4096 (odd)
    +-------+------------+--------+-----+

Each batch of records starts with a GROUP record that repeats `synced` as of its writing: a lost mark is
recovered from the groups, and bytes damaged before such a number are proven to be a loss.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

SEGMENT_MAGIC = b"RINGJNL\n"
MARK_MAGIC = b"RINGMRK\n"
VERSION = 1

HEADER = struct.Struct("<8sQQQQI")
CRC = struct.Struct("<I")
HEADER_BYTES = 64
RECORD = struct.Struct("<IQ4s")
"""A record's head after its CRC: length, sequence, tag."""
RECORD_HEAD_BYTES = CRC.size + RECORD.size
TAG_OFFSET = 16
WORD = struct.Struct("<Q")

MARK = struct.Struct("<8sQQ")
MARK_SLOT_BYTES = MARK.size + CRC.size
MARK_STRIDE = 4096
MARK_FILE = "mark"
MARK_FILE_BYTES = 2 * MARK_STRIDE

GROUP = b"GRUP"
"""Starts a batch; body: the synced sequence as of its writing, 8 bytes."""
EVENT = b"EVNT"
"""One accepted event, or the unsettled rest of one that was carried forward: `records.EventRecord`."""
FATE = b"FATE"
"""What the gateway decided about one event of one key: `records.FateRecord`."""
KEYS = b"KEYS"
"""Counters and settled marks of some keys: `records.KeysRecord`."""
KNOWN = b"KNWN"
"""Identities of settled events within retention, 48 bytes each (see `index`)."""
BASE = b"BASE"
"""What else must outlive an unlinked segment: `records.BaseRecord`."""
GROUP_BYTES = RECORD_HEAD_BYTES + WORD.size

assert HEADER.size + CRC.size <= HEADER_BYTES
assert RECORD_HEAD_BYTES == TAG_OFFSET + 4


class Header(NamedTuple):
    """A segment's header."""

    number: int
    size: int
    first_sequence: int
    salt: int


class Mark(NamedTuple):
    """How far the journal is known to be on disk."""

    generation: int
    synced: int


def segment_name(number: int) -> str:
    return f"{number:016x}.seg"


def segment_number(name: str) -> int | None:
    """The number in a segment's file name; None for any other file."""
    stem, _, kind = name.partition(".")
    if kind != "seg" or len(stem) != 16:
        return None
    try:
        number = int(stem, 16)
    except ValueError:
        return None
    return number if segment_name(number) == name else None


def pack_header(header: Header) -> bytes:
    head = HEADER.pack(SEGMENT_MAGIC, VERSION, *header)
    return (head + CRC.pack(crc32(head))).ljust(HEADER_BYTES, b"\0")


def unpack_header(data: bytes) -> Header | None:
    """The header in `data`, or None when it is not one of this version."""
    if len(data) < HEADER_BYTES:
        return None
    magic, version, number, size, first, salt = HEADER.unpack_from(data)
    (crc,) = CRC.unpack_from(data, HEADER.size)
    if magic != SEGMENT_MAGIC or version != VERSION or crc != crc32(data[: HEADER.size]):
        return None
    return Header(number, size, first, salt)


def pack_record(sequence: int, tag: bytes, body: bytes, salt: int) -> bytes:
    head = RECORD.pack(len(body), sequence, tag)
    return b"".join((CRC.pack(crc32(body, crc32(head, salt))), head, body))


def pack_mark(mark: Mark) -> bytes:
    head = MARK.pack(MARK_MAGIC, mark.generation, mark.synced)
    return head + CRC.pack(crc32(head))


def unpack_mark(data: bytes) -> Mark | None:
    if len(data) < MARK_SLOT_BYTES:
        return None
    magic, generation, synced = MARK.unpack_from(data)
    (crc,) = CRC.unpack_from(data, MARK.size)
    if magic != MARK_MAGIC or crc != crc32(data[: MARK.size]):
        return None
    return Mark(generation, synced)


def mark_offset(generation: int) -> int:
    return (generation & 1) * MARK_STRIDE
