"""A disk in memory that can lose power. Public: tests and simulations run the journal's own code on it.

It keeps apart what a program sees and what is on the platter. A power cut keeps, of each write that was
not synced, any of its sectors, and of the names any number of changes in their order. A failed sync does
what Linux does: reads go on to show the data, they are called clean, the next sync says that all is well,
and they never reach the platter unless they are written again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Literal

SECTOR_BYTES = 512

When = Literal["before", "during", "after"]
"""When an operation fails: with nothing, half, or all of it done."""


class _File:
    """`view` is what a read gives, `platter` what a power cut leaves, `dirty` the writes between: what a
    sync would bring to the platter."""

    def __init__(self, size: int) -> None:
        self.view = bytearray(size)
        self.platter = bytearray(size)
        self.dirty: list[tuple[int, bytes]] = []

    def write(self, offset: int, data: bytes) -> None:
        _overwrite(self.view, offset, data)
        self.dirty.append((offset, data))

    def sync(self) -> None:
        """Brings the dirty sectors to the platter, as they are seen; no others."""
        for offset, data in self.dirty:
            self._settle(offset, len(data))
        self.dirty.clear()

    def lose(self) -> None:
        """A sync that fails: nothing gets there, and all of it is called clean."""
        self.dirty.clear()

    def _settle(self, offset: int, length: int) -> None:
        start = offset - offset % SECTOR_BYTES
        stop = offset + length
        stop += -stop % SECTOR_BYTES
        _overwrite(self.platter, start, self.view[start:stop])

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
        self._failures: dict[str, tuple[int, When]] = {}
        self.meanwhile: Callable[[], None] = lambda: None
        """Called while a sync is under way: what the other threads of the process do."""

    def fail(self, operation: str, error: int = errno.EIO, when: When = "during") -> None:
        """Let the next call of `operation` ("write", "sync", "create", "rename" …) fail with `error`.

        Halfway, a write has written its first half, a created file is too short, and a sync has lost all
        it had to write for good; of what happens to names there is no half, so nothing has happened.
        """
        self._failures[operation] = (error, when)

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
        with self._may_fail("read"):
            return bytes(self._file(name).view[offset : offset + length])

    def create(self, name: str, size: int) -> None:
        with self._may_fail("create") as half:
            if sum(len(file.view) for file in self._names.values()) + size > self.space_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
            self._change({**self._names, name: _File(size // 2 if half else size)})

    def write(self, name: str, offset: int, data: bytes | bytearray) -> None:
        with self._may_fail("write") as half:
            self._file(name).write(offset, bytes(data[: len(data) // 2] if half else data))

    def sync(self, name: str) -> None:
        file = self._file(name)
        self.meanwhile()
        with self._may_fail("sync") as half:
            if half:
                file.lose()
            else:
                file.sync()

    def rename(self, old: str, new: str) -> None:
        file = self._file(old)
        with self._may_fail("rename") as half:
            if not half:
                self._change({**{name: f for name, f in self._names.items() if name != old}, new: file})

    def unlink(self, name: str) -> None:
        self._file(name)
        with self._may_fail("unlink") as half:
            if not half:
                self._change({other: f for other, f in self._names.items() if other != name})

    def sync_names(self) -> None:
        with self._may_fail("sync_names") as half:
            if not half:
                self._durable_names = dict(self._names)
                self._name_changes.clear()

    def aside(self, action: Callable[[], None]) -> Callable[[], None]:
        """At once: what a thread does meanwhile must be the same in every run of a seed."""
        action()
        return lambda: None

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

    @contextmanager
    def _may_fail(self, operation: str) -> Iterator[bool]:
        """The body does the operation, or, when this yields True, half of it."""
        number, when = self._failures.pop(operation, (0, "before"))
        if number == 0:
            yield False
            return
        if when != "before":
            yield when == "during"
        raise OSError(number, os.strerror(number))


def _overwrite(data: bytearray, offset: int, piece: bytes | bytearray) -> None:
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
