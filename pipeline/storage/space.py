"""Warns before a disk is full: free space of the folders that the pipeline writes to, against two marks.

Below `space.warn_bytes` a line is logged, and again about every hour while it lasts; below
`space.floor_bytes` no new events should be taken, while there is still room to finish those accepted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from pathlib import Path

from msgspec import Struct

from pipeline import limits
from pipeline.clock import NS_PER_S, Clock, SystemClock
from pipeline.config import Config

log = logging.getLogger(__name__)

FreeBytes = Callable[[Path], int]


class Level(IntEnum):
    """Worse is higher."""

    PLENTY = 0
    LOW = 1
    FULL = 2


class Space(Struct, frozen=True):
    """The folder with the least room of those looked at, and what that means. `detail` is one line for
    people, empty while there is plenty."""

    level: Level
    folder: str
    free_bytes: int
    detail: str = ""


def judge_space(free_bytes: Mapping[str, int], warn_bytes: int, floor_bytes: int) -> Space:
    """The verdict on `free_bytes` by folder, of which there is at least one. Pure."""
    folder, free = min(free_bytes.items(), key=lambda item: item[1])
    if free < floor_bytes:
        limit, level, then = floor_bytes, Level.FULL, "no new events are taken"
    elif free < warn_bytes:
        limit, level, then = warn_bytes, Level.LOW, "make room soon"
    else:
        return Space(Level.PLENTY, folder, free)
    detail = f"{folder}: {free // limits.MIB} MiB free, below {limit // limits.MIB} MiB: {then}"
    return Space(level, folder, free, detail)


def free_bytes(folder: Path) -> int:
    """What an unprivileged process may still write where `folder` is or will be. Raises OSError."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


class SpaceWatch:
    """Looks at most once in `limits.SPACE_EVERY_S`, and logs what changes."""

    def __init__(
        self,
        folders: Iterable[Path],
        warn_bytes: int,
        floor_bytes: int,
        clock: Clock | None = None,
        free: FreeBytes = free_bytes,
    ) -> None:
        self._folders = tuple(folders)
        self._marks = (warn_bytes, floor_bytes)
        self._clock = clock or SystemClock()
        self._free = free
        self._look_ns = self._say_ns = 0
        self._space = Space(Level.PLENTY, "", 0)

    @classmethod
    def of(cls, config: Config, clock: Clock | None = None) -> SpaceWatch:
        """Of the folder that journal, audit and checkpoints are in."""
        return cls([Path(config.data_dir)], config.space.warn_bytes, config.space.floor_bytes, clock)

    def look(self) -> Space:
        """The space now, or as of some seconds ago."""
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._look_ns:
            return self._space
        self._look_ns = now_ns + limits.SPACE_EVERY_S * NS_PER_S
        before, self._space = self._space, self._measured()
        if self._space.level is Level.PLENTY:
            if before.level is not Level.PLENTY:
                log.warning("%s: %d MiB free again", self._space.folder, self._space.free_bytes // limits.MIB)
        elif self._space.level is not before.level or now_ns >= self._say_ns:
            self._say_ns = now_ns + limits.SPACE_SAY_EVERY_S * NS_PER_S
            log.warning("%s", self._space.detail)
        return self._space

    def unready(self) -> str:
        """Why no new events should be taken; empty while there is room."""
        space = self.look()
        return space.detail if space.level is Level.FULL else ""

    def _measured(self) -> Space:
        found = {}
        for folder in self._folders:
            try:
                found[str(folder)] = self._free(folder)
            except OSError as error:
                # Unknown is not full: whoever writes there meets the error, and says so.
                log.warning("%s: free space is unknown: %s", folder, error.strerror)
        return judge_space(found, *self._marks) if found else self._space
