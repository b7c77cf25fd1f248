"""What a worker has in hand: the event that it steps right now, noted where it outlives the process.

A file of 256 bytes a worker name, mapped into memory, locked by its living writer; little-endian:

     0       8      16        24    28           30                158
    +-------+------+---------+-----+------------+-----------------+------+
    | magic | boot | key_seq | crc | key length | key, zero-padded | zero |
    +-------+------+---------+-----+------------+-----------------+------+
    key_seq 0: nothing in hand; crc32 over key_seq and key: a torn note is no note

A worker that died in the middle of a step is named to its senders by its next incarnation, with its
event; three distinct deaths make the event a dead letter. A torn note means that the step
had not begun, so the event is innocent.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from pipeline import limits
from pipeline.errors import MissingError
from pipeline.storage.lock import lock_file

MAGIC = b"RINGHND1"
_BOOT = struct.Struct("<8sQ")
MAX_KEY_BYTES = 4 * limits.MAX_SYMBOL_CHARS
_NOTE = struct.Struct(f"<QIH{MAX_KEY_BYTES}s")
_WORD = struct.Struct("<Q")
_NOTE_START = _BOOT.size
_NOTE_END = _NOTE_START + _NOTE.size
_NOTHING = bytes(8)

assert _NOTE_END <= limits.IN_HAND_BYTES


class Died(NamedTuple):
    """The event a dead incarnation had in hand, and which incarnation (its random `boot` number)."""

    key: str
    key_seq: int
    boot: int


class InHand:
    """The note of one living worker. `died` is what its predecessor left, None if that died idle."""

    __slots__ = ("_lock", "_map", "boot", "died")

    def __init__(self, lock: int, mapped: mmap.mmap, boot: int, died: Died | None) -> None:
        self._lock = lock
        self._map = mapped
        self.boot = boot
        self.died = died

    @classmethod
    def open(cls, directory: Path, worker: str) -> InHand:
        """Take over the note of `worker` in `directory`; reads what the one before left.

        Raises MissingError when a worker of that name lives, or there is no space.
        """
        path = directory / f"{worker}.in-hand"
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MissingError(f"note of {worker} in {directory}: {error.strerror}") from None
        lock = lock_file(path, f"note of {worker}")
        try:
            # Space is taken before mapping: a full tmpfs would otherwise be a SIGBUS at the first note.
            os.posix_fallocate(lock, 0, limits.IN_HAND_BYTES)
            mapped = mmap.mmap(lock, limits.IN_HAND_BYTES)
        except OSError as error:
            os.close(lock)
            raise MissingError(f"note of {worker} {path}: {error.strerror}") from None
        died = _read(mapped)
        boot = int.from_bytes(os.urandom(8), "little") >> 1
        mapped[_NOTE_START : _NOTE_START + 8] = _NOTHING
        mapped[: _BOOT.size] = _BOOT.pack(MAGIC, boot)
        return cls(lock, mapped, boot, died)

    def note(self, key: str, key_seq: int) -> None:
        """Say, before the step, that `key_seq` (≥ 1) of `key` is in hand. About 1 µs, no system call."""
        name = key.encode()
        crc = crc32(name, crc32(_WORD.pack(key_seq)))
        self._map[_NOTE_START:_NOTE_END] = _NOTE.pack(key_seq, crc, len(name), name)

    def clear(self) -> None:
        """Say that nothing is in hand."""
        self._map[_NOTE_START : _NOTE_START + 8] = _NOTHING

    def close(self) -> None:
        """Let go without a trace: who closes did not die."""
        self.clear()
        self._map.close()
        os.close(self._lock)


def _read(mapped: mmap.mmap) -> Died | None:
    magic, boot = _BOOT.unpack_from(mapped)
    key_seq, crc, length, name = _NOTE.unpack_from(mapped, _NOTE_START)
    if magic != MAGIC or not key_seq or length > MAX_KEY_BYTES:
        return None
    if crc != crc32(name[:length], crc32(_WORD.pack(key_seq))):
        return None
    try:
        return Died(name[:length].decode(), key_seq, boot)
    except UnicodeDecodeError:
        return None
