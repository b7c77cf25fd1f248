"""Rings that their writers have left with records nobody has taken yet: kept for the next collector, within
bounds.

A writer that leaves while no collector runs leaves its ring, of whose memory it keeps only what holds such
records. Of more than MAX_LEFT_RINGS the oldest goes; whoever removes it says so, if often not each time, and
counts what was in it as dropped in its own ring, so that the next collector tells of it.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import mmap
import os
from contextlib import suppress
from pathlib import Path

from pipeline import limits
from pipeline.telemetry import layout
from pipeline.telemetry.layout import Identity, Mode

RING_SUFFIX = ".ring"
_ABSURD = 1 << 40
_WORDS_BYTES = layout.LARGEST_WEIGHT_BYTE + layout.WORD_BYTES

logger = logging.getLogger(__name__)


def remove_oldest(directory: Path) -> int:
    """Of more rings than MAX_LEFT_RINGS that no writer holds any more. Returns how many untaken records went
    with them. Never raises."""
    lost = 0
    with suppress(OSError):
        paths = list(directory.glob("*" + RING_SUFFIX))
        if len(paths) <= limits.MAX_LEFT_RINGS:
            return 0
        left = sorted((path for path in paths if is_left(path)), key=_changed_ns)
        for path in left[: max(0, len(left) - limits.MAX_LEFT_RINGS)]:
            untaken = _untaken_in(path)
            path.unlink(missing_ok=True)
            lost += untaken
            _tell(path, untaken)
    return lost


_removed = itertools.count(1)


def _tell(path: Path, untaken: int) -> None:
    """At the first of this process, the second, the fourth …: threads may leave by the thousand."""
    number = next(_removed)
    if number & (number - 1) == 0:
        logger.warning(
            "telemetry: %s is removed with %d records that no collector has taken, as number %d of those "
            "that wait for one in vain: %d are kept",
            path,
            untaken,
            number,
            limits.MAX_LEFT_RINGS,
        )


def give_back(memory: mmap.mmap, identity: Identity, head: int, tail: int) -> None:
    """Free the pages of a ring's slots that hold nothing untaken; they read as zeros then."""
    capacity = identity.capacity
    if identity.mode != Mode.DROP_NEWEST or head - tail >= capacity:
        return
    begin, end = tail & capacity - 1, head & capacity - 1
    for first, last in ((0, begin), (end, capacity)) if begin <= end else ((end, begin),):
        start = layout.ENTRIES_BYTE + first * layout.ENTRY_BYTES
        start = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        stop = (layout.ENTRIES_BYTE + last * layout.ENTRY_BYTES) // mmap.PAGESIZE * mmap.PAGESIZE
        if start < stop:
            with suppress(OSError):  # a file system that cannot: the whole ring stays
                memory.madvise(mmap.MADV_REMOVE, start, stop - start)


def is_left(path: Path) -> bool:
    """Whether no writer holds this ring."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return lock_is_free(fd)
        finally:
            os.close(fd)
    return False


def lock_is_free(fd: int) -> bool:
    """Take the exclusive lock of an open file if nobody living holds it; it is kept until `fd` closes."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _changed_ns(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return 0


def _untaken_in(path: Path) -> int:
    """Calls, as many as its records may stand for, and losses that nobody was told of."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        header = os.pread(fd, _WORDS_BYTES, 0)
    finally:
        os.close(fd)
    if len(header) < _WORDS_BYTES or not header.startswith(layout.MAGIC):
        return 0
    words = memoryview(header).cast("Q")
    waiting = words[layout.HEAD] - words[layout.TAIL]
    dropped = words[layout.DROPPED] - words[layout.DROPPED_SEEN]
    most = min(words[layout.LARGEST_WEIGHT], layout.WEIGHT_MASK) + 1
    return waiting * most + dropped if 0 <= waiting < _ABSURD and 0 <= dropped < _ABSURD else 0
