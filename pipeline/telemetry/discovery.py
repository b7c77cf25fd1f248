"""Finds the rings in a telemetry directory, and names what is in there and is none."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from pipeline import limits
from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.errors import MissingError
from pipeline.telemetry.layout import RefusedRingError
from pipeline.telemetry.left_rings import RING_SUFFIX, lock_is_free
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.ring import (
    COLLECTOR_LOCK,
    DRAFT_SUFFIX,
    FLIGHT_SUFFIX,
    make_directory,
)
from pipeline.telemetry.source import Source

logger = logging.getLogger(__name__)

GIVEN_UP_LIFE_NS = 1 * NS_PER_S
"""A ring that is being removed for this long is not: it takes milliseconds."""

DRAFT_LIFE_NS = 10 * NS_PER_S
"""A draft that nobody holds for this long is what a killed writer left; making one takes milliseconds."""

FOLDER_TICK_NS = 20 * NS_PER_MS
"""A folder's time moves with the kernel's timer, every 10 ms at most: two changes may bear one time."""

LOCK_ATTEMPTS = 5
LOCK_PAUSE_S = 0.02
"""A closing writer looks whether the lock is held, by holding it for a moment itself."""

Stamp = tuple[int, int, int]
"""Inode, size and modification time: a file that changed is looked at again."""


class RingFolder:
    """The telemetry directory as a collector sees it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.refused: Counter[str] = Counter()
        """Files that are no rings, by reason, each counted once."""
        self.seen_ns = 0
        """When the folder had last changed as it was scanned; 0 when it may have changed since without a
        newer time, −1 when it was not there."""
        self._warned = False
        self._attached: set[str] = set()
        self._foreign: dict[str, Stamp] = {}
        self._drafts: dict[str, int] = {}
        self._given_up: dict[str, int] = {}
        """Rings that somebody seems to be removing, and since when."""
        self._again: set[str] = set()
        """Foreign files whose reason may pass."""
        self._spoiled: set[str] = set()
        """Rings that were good once; removed when their writers let go of them."""

    def changed(self) -> bool:
        """Whether something may have come or gone since the last scan; it costs one system call."""
        return self._changed_ns() != self.seen_ns

    def _changed_ns(self) -> int:
        try:
            return os.stat(self.directory).st_mtime_ns  # noqa: PTH116 - a path object costs twice as much
        except OSError:
            return -1

    def scan(self, now_ns: int) -> list[Source]:
        """Rings that were not there before. Never raises on what it finds."""
        found: list[Source] = []
        names: set[str] = set()
        changed_ns = self._changed_ns()  # before looking: what comes meanwhile is found next time
        settled = time.time_ns() - changed_ns > FOLDER_TICK_NS
        self.seen_ns = changed_ns if settled else 0
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    names.add(entry.name)
                    source = self._look_at(entry, now_ns)
                    if source is not None:
                        found.append(source)
        except OSError as error:
            self.seen_ns = changed_ns
            if not self._warned:  # not at each look for as long as it lasts
                self._warned = True
                logger.warning("telemetry directory %s cannot be read: %s", self.directory, error)
            return found
        self._warned = False
        for known in (self._foreign, self._drafts, self._given_up):
            for name in known.keys() - names:
                del known[name]
        self._spoiled &= names
        self._again &= names
        return found

    def refuse(self, source: Source, error: RefusedRingError) -> None:
        """A ring that was attached turned out to be unusable; it goes when its writer does."""
        path = source.reader.path
        if path is not None:
            self._attached.discard(path.name)
            self._spoiled.add(path.name)
            self._count(path.name, error)

    def remove(self, source: Source) -> None:
        """Unlink the ring of a dead writer."""
        path = source.reader.path
        if path is not None:
            self._attached.discard(path.name)
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _look_at(self, entry: os.DirEntry[str], now_ns: int) -> Source | None:
        name = entry.name
        if name in self._attached or name == COLLECTOR_LOCK or name.endswith(FLIGHT_SUFFIX):
            return None
        if name in self._spoiled:
            _unlink_if_free(Path(entry.path))
            return None
        if name.endswith(DRAFT_SUFFIX):
            if now_ns - self._drafts.setdefault(name, now_ns) >= DRAFT_LIFE_NS:
                _unlink_if_free(Path(entry.path))
            return None
        try:
            stamp = stamp_of(entry.stat(follow_symlinks=False))
        except OSError:  # its writer left while we looked
            return None
        if self._foreign.get(name) == stamp and name not in self._again:
            return None
        try:
            source = self._attach(Path(entry.path), now_ns)
            self._again.discard(name)
            return source
        except RefusedRingError as error:
            self._refuse(name, stamp, error, again=error.reason == "too_many_rings")
        except FileNotFoundError:
            return None
        except OSError as error:
            self._refuse(name, stamp, RefusedRingError("cannot_open", str(error)), again=True)
        return None

    def _attach(self, path: Path, now_ns: int) -> Source | None:
        if not path.name.endswith(RING_SUFFIX):
            raise RefusedRingError("foreign_name")
        if len(self._attached) >= limits.MAX_RINGS:
            raise RefusedRingError("too_many_rings", f"the limit is {limits.MAX_RINGS}")
        source = Source(RingReader.attach(path))
        if self._is_being_removed(source, path.name, now_ns):
            source.reader.close()
            return None
        try:
            source.remember()
        except RefusedRingError:
            source.reader.close()
            raise
        self._attached.add(path.name)
        return source

    def _is_being_removed(self, source: Source, name: str, now_ns: int) -> bool:
        """By somebody who counts what is in it. Where nobody can be, the word that says so is told, and the
        ring is drained like any other."""
        word = source.reader.given_up
        if word == 1 and now_ns - self._given_up.setdefault(name, now_ns) < GIVEN_UP_LIFE_NS:
            return True
        if word:
            self.refused["absurd_given_up"] += 1
            logger.warning(
                "telemetry directory %s: %s says that it is being removed (%d), and is not: it is drained",
                self.directory,
                _shown(name),
                word,
            )
        self._given_up.pop(name, None)
        return False

    def _refuse(self, name: str, stamp: Stamp, error: RefusedRingError, *, again: bool) -> None:
        """`again`: the reason may pass (no file descriptors, too many rings); counted once all the same."""
        if again:
            self._again.add(name)
        if self._foreign.get(name) != stamp:
            self._foreign[name] = stamp
            self._count(name, error)

    def _count(self, name: str, error: RefusedRingError) -> None:
        self.refused[error.reason] += 1
        logger.warning("telemetry directory %s: %s is not used: %s", self.directory, _shown(name), error)


def _unlink_if_free(path: Path) -> None:
    """Remove a file of ours that no living writer holds."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if lock_is_free(fd):
                path.unlink(missing_ok=True)
        finally:
            os.close(fd)


class CollectorLock:
    """One collector a directory. Held as long as this process lives, or until `release`."""

    def __init__(self, directory: Path) -> None:
        """Raises MissingError when another collector holds it, or the directory cannot be used."""
        self.path = directory / COLLECTOR_LOCK
        self._fd = -1
        for _ in range(LOCK_ATTEMPTS):
            try:
                make_directory(directory)
                if self._take():
                    return
            except OSError as error:
                raise MissingError(f"telemetry.directory = {directory}: cannot be used: {error}") from None
            time.sleep(LOCK_PAUSE_S)
        self._refuse()

    def renew(self) -> None:
        """Take it anew where it was removed, with its folder or alone, and the folder is there again: to be
        called before rings are looked for.

        Raises MissingError when another collector took it first.
        """
        for _ in range(LOCK_ATTEMPTS):
            with suppress(OSError):
                if self.is_held() or not self.path.parent.is_dir():
                    return
                before = self._fd
                if self._take():
                    os.close(before)
                    return
            time.sleep(LOCK_PAUSE_S)
        self._refuse()

    def release(self) -> None:
        """Unlink the lock, and the directory if nothing else is in it; not those of another collector."""
        with suppress(OSError):
            if self.is_held():
                self.path.unlink()
        os.close(self._fd)
        with suppress(OSError):
            self.path.parent.rmdir()

    def is_held(self) -> bool:
        """Whether the name still leads to what is locked."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._fd), self.path.stat())
        return False

    def _refuse(self) -> NoReturn:
        raise MissingError(
            f"telemetry.directory = {self.path.parent}: another collector drains it; "
            "one running pipeline a folder"
        )

    def _take(self) -> bool:
        """Lock the file, and see that its name still leads to what was locked."""
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # a leaving collector removed the directory
            return False
        with suppress(FileNotFoundError):
            if lock_is_free(fd) and os.path.samestat(os.fstat(fd), self.path.stat()):
                self._fd = fd
                return True
        os.close(fd)
        return False


def _shown(name: str) -> str:
    """On one line, whatever the file is called."""
    return name if name.isprintable() else ascii(name)


def stamp_of(found: os.stat_result) -> Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns
