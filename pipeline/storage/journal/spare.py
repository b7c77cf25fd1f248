"""The next segment, filled with zeros ahead of its use.

Zero-filled beats allocated: an fdatasync after writing into allocated, unwritten space also has to commit
the file system's own journal (measured on ext4: 96 µs against 184 µs).
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.storage.journal.disk import Disk

SPARE_FILE = "spare"
_TEMPORARY = "spare.tmp"


class Spare:
    """Makes one spare file of `size` bytes in a thread of its own and hands it over."""

    def __init__(self, disk: Disk, size: int) -> None:
        self._disk = disk
        self._size = size
        self._join: Callable[[], None] | None = None
        self._ready = False

    def adopt(self) -> None:
        """Use the spare an earlier run left; make one now if there is none. May raise OSError."""
        names = self._disk.names()
        if _TEMPORARY in names:
            self._disk.unlink(_TEMPORARY)
        if SPARE_FILE in names and self._disk.size(SPARE_FILE) == self._size:
            self._ready = True
        else:
            self._make()

    def prepare(self) -> None:
        """Begin to make one unless it is there or under way."""
        if not self._ready and self._join is None:
            self._join = self._disk.aside(self._attempt)

    def take(self, name: str, size: int) -> None:
        """Give the file `name` and `size`, zeroed and durable under its name. May raise OSError."""
        self.join()
        if size == self._size:
            if not self._ready:
                self._make()
            self._disk.rename(SPARE_FILE, name)
            self._ready = False
        else:
            self._disk.create(_TEMPORARY, size)
            self._disk.rename(_TEMPORARY, name)
        self._disk.sync_names()

    def join(self) -> None:
        """Wait for a file under way."""
        if self._join is not None:
            self._join()
            self._join = None

    def _make(self) -> None:
        self._disk.create(_TEMPORARY, self._size)
        self._disk.rename(_TEMPORARY, SPARE_FILE)
        self._ready = True

    def _attempt(self) -> None:
        try:
            self._make()
        except OSError:
            self._ready = False  # whoever takes it tries again and meets the error where it can be told
