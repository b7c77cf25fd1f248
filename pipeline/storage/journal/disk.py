"""The disk as the journal uses it: a flat folder of preallocated files. `memory_disk` has its fake."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pipeline import limits
from pipeline.errors import MissingError
from pipeline.storage.lock import lock_file

ZERO_BLOCK_BYTES = 1 * limits.MIB
"""Zeros are written and synced this much at a time, so that a commit never waits behind a whole segment."""


class Disk(Protocol):
    """A folder of files. Every method may raise OSError; names are plain file names."""

    def names(self) -> list[str]: ...

    def size(self, name: str) -> int: ...

    def read(self, name: str, offset: int, length: int) -> bytes:
        """The bytes there; fewer at the end of the file."""

    def create(self, name: str, size: int) -> None:
        """A file of zeros, synced; its name is not, until `sync_names`. Replaces what had the name."""

    def write(self, name: str, offset: int, data: bytes | bytearray) -> None: ...

    def sync(self, name: str) -> None:
        """The file's data reach the platter (fdatasync)."""

    def rename(self, old: str, new: str) -> None: ...

    def unlink(self, name: str) -> None: ...

    def sync_names(self) -> None:
        """Creations, renames and unlinks reach the platter (fsync of the folder)."""

    def aside(self, action: Callable[[], None]) -> Callable[[], None]:
        """Runs `action`, which must not raise, beside the caller; what is returned waits for its end."""

    def release(self, name: str) -> None:
        """The file will not be written any more."""

    def close(self) -> None: ...

    def describe(self, name: str) -> str:
        """The file as an error should name it."""


class OsDisk:
    """The real one. Holds an exclusive lock on the folder until closed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: dict[str, int] = {}
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise MissingError(f"journal {directory}: cannot be opened: {error.strerror}") from None
        try:
            self._lock = lock_file(directory / "lock", "journal")
        except MissingError:
            os.close(self._folder)
            raise

    def names(self) -> list[str]:
        return [entry.name for entry in os.scandir(self._folder)]

    def size(self, name: str) -> int:
        return os.stat(name, dir_fd=self._folder).st_size

    def read(self, name: str, offset: int, length: int) -> bytes:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
        try:
            return self._read(descriptor, offset, length)
        finally:
            os.close(descriptor)

    def create(self, name: str, size: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=self._folder)
        try:
            for offset in range(0, size, ZERO_BLOCK_BYTES):
                _write_all(descriptor, offset, bytes(min(ZERO_BLOCK_BYTES, size - offset)))
                os.fdatasync(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def write(self, name: str, offset: int, data: bytes | bytearray) -> None:
        _write_all(self._descriptor(name), offset, data)

    def sync(self, name: str) -> None:
        os.fdatasync(self._descriptor(name))

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def unlink(self, name: str) -> None:
        self.release(name)
        os.unlink(name, dir_fd=self._folder)

    def sync_names(self) -> None:
        os.fsync(self._folder)

    def aside(self, action: Callable[[], None]) -> Callable[[], None]:
        thread = threading.Thread(target=action, name="journal-spare", daemon=True)
        thread.start()
        return thread.join

    def release(self, name: str) -> None:
        if (descriptor := self._open.pop(name, None)) is not None:
            os.close(descriptor)

    def close(self) -> None:
        for name in list(self._open):
            self.release(name)
        os.close(self._folder)
        os.close(self._lock)

    def describe(self, name: str) -> str:
        return str(self._directory / name)

    def _descriptor(self, name: str) -> int:
        descriptor = self._open.get(name)
        if descriptor is None:
            descriptor = os.open(name, os.O_RDWR | os.O_CLOEXEC, dir_fd=self._folder)
            self._open[name] = descriptor
        return descriptor

    @staticmethod
    def _read(descriptor: int, offset: int, length: int) -> bytes:
        pieces: list[bytes] = []
        while length > 0:
            piece = os.pread(descriptor, length, offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return b"".join(pieces)


def _write_all(descriptor: int, offset: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        offset += written
        view = view[written:]
