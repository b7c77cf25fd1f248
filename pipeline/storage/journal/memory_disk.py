"""A disk in memory that can lose power. Public: tests and simulations run the journal's own code on it.

It keeps apart what a program sees and what is on the platter. A power cut keeps, of each write that was
not synced, any of its sectors, and of the names any number of changes in their order. A failed sync does
what Linux does: the data never reach the platter, and the next sync says that all is well.
"""

from __future__ import annotations

import errno
import os
from random import Random

SECTOR_BYTES = 512


class _File:
    """`view` is what a read gives, `platter` what a power cut leaves, `dirty` the writes between."""

    def __init__(self, size: int) -> None:
        self.view = bytearray(size)
        self.platter = bytearray(size)
        self.dirty: list[tuple[int, bytes]] = []

    def write(self, offset: int, data: bytes) -> None:
        _overwrite(self.view, offset, data)
        self.dirty.append((offset, data))

    def sync(self) -> None:
        self.platter = bytearray(self.view)
        self.dirty.clear()

    def copy(self) -> _File:
        twin = _File(0)
        twin.view, twin.platter, twin.dirty = bytearray(self.view), bytearray(self.platter), list(self.dirty)
        return twin

    def cut(self, rng: Random) -> _File:
        """The file after a power cut."""
        left = _File(0)
        left.platter = bytearray(self.platter)
        for offset, data in self.dirty:
            if rng.random() < 0.2:
                continue
            for start, sector in _sectors(offset, data):
                if rng.random() < 0.8:
                    _overwrite(left.platter, start, sector)
        left.view = bytearray(left.platter)
        return left


class MemoryDisk:
    """A `Disk`. `power_cut` and `copy` give the disk that a later run finds."""

    def __init__(self, space_bytes: int = 1 << 40) -> None:
        self.space_bytes = space_bytes
        """All files together may take this much."""
        self._names: dict[str, _File] = {}
        self._durable_names: dict[str, _File] = {}
        self._name_changes: list[dict[str, _File]] = []
        self._failures: dict[str, int] = {}

    def fail(self, operation: str, error: int = errno.EIO) -> None:
        """Let the next call of `operation` ("write", "sync", "create", "rename" …) fail with `error`."""
        self._failures[operation] = error

    def power_cut(self, rng: Random) -> MemoryDisk:
        """What is left when the power goes now."""
        histories = [self._durable_names, *self._name_changes]
        names = histories[rng.randrange(len(histories))]
        return self._with({name: file.cut(rng) for name, file in names.items()})

    def copy(self) -> MemoryDisk:
        """What the next process finds when this one is killed and the machine goes on."""
        return self._with({name: file.copy() for name, file in self._names.items()})

    def damage(self, name: str, offset: int, mask: int = 0xFF) -> None:
        """Flip the bits of `mask` in one byte, on the platter too."""
        file = self._names[name]
        for data in (file.view, file.platter):
            data[offset] ^= mask

    def cut_file(self, name: str, size: int) -> None:
        """Cut the file off at `size`."""
        file = self._names[name]
        del file.view[size:]
        del file.platter[size:]

    # ---- the protocol -----------------------------------------------------------------------------------

    def names(self) -> list[str]:
        return list(self._names)

    def size(self, name: str) -> int:
        return len(self._file(name).view)

    def read(self, name: str, offset: int, length: int) -> bytes:
        self._maybe_fail("read")
        return bytes(self._file(name).view[offset : offset + length])

    def create(self, name: str, size: int) -> None:
        self._maybe_fail("create")
        if sum(len(file.view) for file in self._names.values()) + size > self.space_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        self._change({**self._names, name: _File(size)})

    def write(self, name: str, offset: int, data: bytes | bytearray) -> None:
        self._maybe_fail("write")
        self._file(name).write(offset, bytes(data))

    def sync(self, name: str) -> None:
        file = self._file(name)
        if "sync" in self._failures:
            file.dirty.clear()
        self._maybe_fail("sync")
        file.sync()

    def rename(self, old: str, new: str) -> None:
        self._maybe_fail("rename")
        file = self._file(old)
        self._change({**{name: f for name, f in self._names.items() if name != old}, new: file})

    def unlink(self, name: str) -> None:
        self._maybe_fail("unlink")
        self._file(name)
        self._change({other: f for other, f in self._names.items() if other != name})

    def sync_names(self) -> None:
        self._maybe_fail("sync_names")
        self._durable_names = dict(self._names)
        self._name_changes.clear()

    def release(self, name: str) -> None:
        """Nothing is held open."""

    def close(self) -> None:
        """Nothing is locked."""

    def describe(self, name: str) -> str:
        return f"memory:{name}"

    def _with(self, files: dict[str, _File]) -> MemoryDisk:
        other = MemoryDisk(self.space_bytes)
        other._names = dict(files)
        other._durable_names = dict(files)
        return other

    def _change(self, names: dict[str, _File]) -> None:
        self._names = names
        self._name_changes.append(names)

    def _file(self, name: str) -> _File:
        if name not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return self._names[name]

    def _maybe_fail(self, operation: str) -> None:
        if (number := self._failures.pop(operation, 0)) != 0:
            raise OSError(number, os.strerror(number))


def _overwrite(data: bytearray, offset: int, piece: bytes) -> None:
    if len(data) < offset + len(piece):
        data.extend(bytes(offset + len(piece) - len(data)))
    data[offset : offset + len(piece)] = piece


def _sectors(offset: int, data: bytes) -> list[tuple[int, bytes]]:
    """`data` split where the platter's sectors are."""
    pieces: list[tuple[int, bytes]] = []
    start = 0
    while start < len(data):
        stop = min(len(data), start + SECTOR_BYTES - (offset + start) % SECTOR_BYTES)
        pieces.append((offset + start, data[start:stop]))
        start = stop
    return pieces
