"""The synced mark: how far the journal is known to be on disk, in a file of its own (see `layout`)."""

from __future__ import annotations

from pipeline import limits
from pipeline.clock import NS_PER_S, Clock
from pipeline.storage.journal.disk import Disk
from pipeline.storage.journal.layout import (
    MARK_FILE,
    MARK_FILE_BYTES,
    MARK_SLOT_BYTES,
    Mark,
    mark_offset,
    pack_mark,
    unpack_mark,
)


def read_mark(disk: Disk) -> Mark | None:
    """The newer intact slot; None when there is none, which no crash alone can bring about."""
    slots = [unpack_mark(disk.read(MARK_FILE, mark_offset(turn), MARK_SLOT_BYTES)) for turn in (0, 1)]
    return max((slot for slot in slots if slot is not None), default=None)


class MarkFile:
    """Writes the mark after each sync of the data; syncs itself at most once a second.

    Whoever is killed leaves it in the page cache; a power cut may lose the last second of it, and the
    groups in the segments stand in.
    """

    def __init__(self, disk: Disk, clock: Clock, mark: Mark) -> None:
        self._disk = disk
        self._clock = clock
        self._generation = mark.generation
        self._synced_ns = clock.monotonic_ns()

    @classmethod
    def create(cls, disk: Disk, clock: Clock, mark: Mark) -> MarkFile:
        """A new file with both slots good, in place under its name when this returns."""
        temporary = MARK_FILE + ".tmp"
        disk.create(temporary, MARK_FILE_BYTES)
        for generation in (mark.generation, mark.generation + 1):
            disk.write(temporary, mark_offset(generation), pack_mark(Mark(generation, mark.synced)))
        disk.sync(temporary)
        disk.release(temporary)
        disk.rename(temporary, MARK_FILE)
        disk.sync_names()
        return cls(disk, clock, Mark(mark.generation + 1, mark.synced))

    def write(self, synced: int) -> None:
        """Say that everything up to the sequence `synced` is on disk. May raise OSError."""
        self._generation += 1
        mark = pack_mark(Mark(self._generation, synced))
        self._disk.write(MARK_FILE, mark_offset(self._generation), mark)
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._synced_ns >= limits.MARK_SYNC_EVERY_S * NS_PER_S:
            self.sync()

    def sync(self) -> None:
        self._disk.sync(MARK_FILE)
        self._synced_ns = self._clock.monotonic_ns()
