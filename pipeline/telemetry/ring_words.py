"""How a reader gets at a ring: in memory when it is its own process's, through the file when it is another's.

Another's file is never mapped. Whoever may write to it may cut it short, and a load from a mapping beyond the
file's end is a SIGBUS; a `pread` there is short, which is a refusal. It copies as fast as memory does, and a
look at a ring is one system call for all words of the header.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.telemetry import layout
from pipeline.telemetry.layout import RefusedRingError

Entries = npt.NDArray[np.int64]
"""Rows of ENTRY_WORDS words."""
_LOOK_BYTES = layout.NAMES_BYTE - layout.HEAD_BYTE
_READERS = struct.Struct("<QQ").pack

assert layout.DROPPED_SEEN == layout.TAIL + 1


class RingWords(Protocol):
    """What a reader asks of a ring."""

    fd: int
    """Of its file; −1 without one."""

    def look(self) -> memoryview[int]:
        """The words before the names, by the indices of `layout`, as they are now.

        Raises RefusedRingError when the file is not what it was.
        """
        ...

    def copy(self, first: int, count: int, into: Entries) -> None:
        """Entries number `first` and on, as they stand in their slots. Raises as `look` does."""
        ...

    def store(self, tail: int, dropped_seen: int) -> None:
        """The reader's own words. Raises as `look` does."""
        ...

    def note(self, word: int, value: int) -> None:
        """Another of the reader's own words, by its index. Raises as `look` does."""
        ...

    def header(self) -> bytes:
        """All bytes before the entries. Raises as `look` does."""
        ...

    def close(self) -> None:
        """Let go of it; never unlinks."""
        ...


class OwnWords:
    """Of a ring that this process made and nobody else has."""

    fd = -1

    def __init__(self, memory: mmap.mmap, capacity: int) -> None:
        self._memory = memory
        self._words: memoryview[int] = memoryview(memory).cast("Q")
        words = capacity * layout.ENTRY_WORDS
        flat = np.frombuffer(memory, dtype="<i8", count=words, offset=layout.ENTRIES_BYTE)
        self._entries: Entries = flat.reshape(capacity, layout.ENTRY_WORDS)

    def look(self) -> memoryview[int]:
        return self._words

    def copy(self, first: int, count: int, into: Entries) -> None:
        for begin, length, at in _pieces(first, count, len(self._entries)):
            into[at : at + length] = self._entries[begin : begin + length]

    def store(self, tail: int, dropped_seen: int) -> None:
        self._words[layout.TAIL] = tail
        self._words[layout.DROPPED_SEEN] = dropped_seen

    def note(self, word: int, value: int) -> None:
        self._words[word] = value

    def header(self) -> bytes:
        return self._memory[: layout.ENTRIES_BYTE]

    def close(self) -> None:
        self._words.release()
        self._entries = np.empty((0, layout.ENTRY_WORDS), dtype=np.int64)


class FileWords:
    """Of a ring that another process made: nothing that is done to its file does more than refuse it."""

    def __init__(self, fd: int, capacity: int) -> None:
        """`fd` is closed with it."""
        self.fd = fd
        self._capacity = capacity
        self._bytes = layout.ring_bytes(capacity)
        copied = memoryview(bytearray(layout.NAMES_BYTE))
        self._looked = [copied[layout.HEAD_BYTE :]]
        self._words: memoryview[int] = copied.cast("Q")

    def look(self) -> memoryview[int]:
        try:
            if os.fstat(self.fd).st_size != self._bytes:
                raise RefusedRingError("truncated")
        except OSError as error:
            raise RefusedRingError("cannot_read", str(error)) from None
        _whole(self._read(self._looked, layout.HEAD_BYTE), _LOOK_BYTES)
        return self._words

    def copy(self, first: int, count: int, into: Entries) -> None:
        for begin, length, at in _pieces(first, count, self._capacity):
            byte = layout.ENTRIES_BYTE + begin * layout.ENTRY_BYTES
            _whole(self._read([into[at : at + length]], byte), length * layout.ENTRY_BYTES)

    def store(self, tail: int, dropped_seen: int) -> None:
        self._write(_READERS(tail, dropped_seen), layout.TAIL_BYTE)

    def note(self, word: int, value: int) -> None:
        self._write(value.to_bytes(layout.WORD_BYTES, "little"), word * layout.WORD_BYTES)

    def _write(self, what: bytes, byte: int) -> None:
        try:
            os.pwrite(self.fd, what, byte)
        except OSError as error:  # somebody punched a hole into it, and there is no space left
            raise RefusedRingError("cannot_write", str(error)) from None

    def header(self) -> bytes:
        found = bytearray(layout.ENTRIES_BYTE)
        _whole(self._read([found], 0), len(found))
        return bytes(found)

    def close(self) -> None:
        if self.fd != -1:
            os.close(self.fd)
            self.fd = -1

    def _read(self, into: Any, byte: int) -> int:
        try:
            return os.preadv(self.fd, into, byte)
        except OSError as error:
            raise RefusedRingError("cannot_read", str(error)) from None


def _whole(found: int, wanted: int) -> None:
    if found != wanted:
        raise RefusedRingError("truncated")


def _pieces(first: int, count: int, capacity: int) -> list[tuple[int, int, int]]:
    """(slot, entries, row) of what lies together: two where it goes round the ring's end."""
    begin = first & (capacity - 1)
    before_end = min(count, capacity - begin)
    if before_end == count:
        return [(begin, count, 0)]
    return [(begin, before_end, 0), (0, count - before_end, before_end)]
