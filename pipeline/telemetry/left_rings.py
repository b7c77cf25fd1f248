"""Rings that their writers have left with records nobody has taken yet: kept for the next collector, within
bounds.

A writer that leaves while no collector runs leaves its ring, of whose memory it keeps only what holds such
records; the ring of one that is killed stays whole. Who opens a ring or leaves one looks whether there are
more than MAX_LEFT_RINGS without a writer, and removes the oldest: says so, if often not each time, and counts
what was in it in its own ring, so that the next collector tells of it, as a loss that may be any stage's.

Who removes a ring holds its lock, so that only one counts what is in it. A collector that is just beginning
drains without that lock: the remover says in the ring that it gives it up and only then looks for a
collector, while a collector takes its own lock first and only then looks at rings, and one sees the other.
What is removed is counted before it is gone: whoever is killed in between has told too much, not too little.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import mmap
import os
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from pipeline import limits
from pipeline.clock import NS_PER_S
from pipeline.telemetry import layout
from pipeline.telemetry.layout import Identity, Mode, RefusedRingError

RING_SUFFIX = ".ring"
_ABSURD = 1 << 40
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

logger = logging.getLogger(__name__)

Charge = Callable[[int], None]
"""Takes the calls that were in a ring that is about to be removed."""


LOOK_AGAIN_NS = 1 * NS_PER_S
"""How long others' rings that had writers are taken to have them still."""


class _Held:
    """How many rings of others in a directory had writers when this process last looked."""

    directory: Path | None = None
    rings = 0
    at_ns = 0


def remove_oldest(
    directory: Path,
    charge: Charge,
    collected: Callable[[], bool],
    *,
    opening: bool,
    own: Collection[str] = (),
) -> None:
    """Of more rings than MAX_LEFT_RINGS that no writer holds any more. Never raises.

    `collected` tells whether a collector is at work in the directory. `own`: names of this process's rings,
    which have writers; one of them is being opened or left, and is among the last when nobody holds it any
    more. Of others, who is `opening` one looks at each only when there are more than MAX_LEFT_RINGS and those
    that had writers a moment ago.
    """
    most = limits.MAX_LEFT_RINGS - bool(own)
    with suppress(OSError):
        names = [name for name in os.listdir(directory) if name.endswith(RING_SUFFIX)]  # noqa: PTH208 - names do
        now_ns = time.monotonic_ns()
        known = opening and _Held.directory == directory and now_ns - _Held.at_ns < LOOK_AGAIN_NS
        held = len(own) + (_Held.rings if known else 0)
        if len(names) <= most + held or collected():
            return
        others = [name for name in names if name not in own]
        left = sorted((path for name in others if is_left(path := directory / name)), key=_changed_ns)
        _Held.directory, _Held.rings, _Held.at_ns = directory, len(others) - len(left), now_ns
        for path in left[: max(0, len(left) - most)]:
            with suppress(OSError):
                _remove(path, charge, collected)


def _remove(path: Path, charge: Charge, collected: Callable[[], bool]) -> None:
    fd = os.open(path, _OPEN)
    try:
        if not (_is_ring(fd) and lock_is_free(fd) and os.path.samestat(os.fstat(fd), path.lstat())):
            return  # somebody else is at it, or was
        _give_up(fd, 1)
        if collected():
            _give_up(fd, 0)
            return
        untaken = _untaken_in(fd)
        charge(untaken)
        path.unlink()
    finally:
        os.close(fd)
    _tell(path, untaken)


def _give_up(fd: int, word: int) -> None:
    os.pwrite(fd, word.to_bytes(layout.WORD_BYTES, "little"), layout.GIVEN_UP_BYTE)


_removed = itertools.count(1)


def _tell(path: Path, untaken: int) -> None:
    """At the first of this process, the second, the fourth …: threads may leave by the thousand."""
    number = next(_removed)
    if number & (number - 1) == 0:
        logger.warning(
            "telemetry: %s is removed with %d calls that no collector has taken, as number %d of those "
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
    """Whether this is a ring and no writer holds it."""
    with suppress(OSError):
        fd = os.open(path, _OPEN)
        try:
            return _is_ring(fd) and lock_is_free(fd)
        finally:
            os.close(fd)
    return False


def _is_ring(fd: int) -> bool:
    try:
        layout.unpack_identity(os.pread(fd, layout.LINE_BYTES, 0), os.fstat(fd).st_size)
    except RefusedRingError:
        return False
    return True


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


def _untaken_in(fd: int) -> int:
    """Calls, as many as its records may stand for, and losses that nobody was told of."""
    header = os.pread(fd, layout.NAMES_BYTE, 0)
    if len(header) < layout.NAMES_BYTE:
        return 0
    words = memoryview(header).cast("Q")
    most = min(words[layout.LARGEST_WEIGHT], layout.WEIGHT_MASK) + 1
    waiting = words[layout.HEAD] - words[layout.TAIL]
    dropped = words[layout.DROPPED] - words[layout.DROPPED_SEEN]
    try:
        removed = layout.count_in(words[layout.REMOVED]) - layout.count_in(words[layout.REMOVED_SEEN])
    except RefusedRingError:
        return 0
    told = (waiting, dropped, removed)
    return waiting * most + dropped + removed if all(0 <= one < _ABSURD for one in told) else 0
