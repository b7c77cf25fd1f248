"""What the workers have written last about their links: a file a worker, replaced as a whole."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from pipeline.clock import NS_PER_MS
from pipeline.web.frame import Report

_report = msgspec.json.Decoder(Report)
Version = tuple[int, int, int]
"""A file's inode, size and time of change: another file has another."""
SETTLED_NS = 50 * NS_PER_MS
"""A folder's time of change is that of the kernel's last tick, 10 ms at most: what changed it after it was
read may bear the same."""


class Reports:
    """Reads only what has changed: the page asks far more often than workers write, renaming into place."""

    def __init__(self, folder: Path, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._folder = folder
        self._wall_ns = wall_ns
        self._changed_ns = self._read_ns = 0
        self._newest: list[Report] = []
        self._known: dict[str, tuple[Version, Report | None]] = {}

    def read(self) -> list[Report]:
        """By name; without those that cannot be read."""
        try:
            changed_ns = self._folder.stat().st_mtime_ns
        except OSError:
            changed_ns = 0
        settled = self._changed_ns + SETTLED_NS < self._read_ns
        if not changed_ns or changed_ns != self._changed_ns or not settled:
            self._changed_ns, self._read_ns = changed_ns, self._wall_ns()
            self._newest = self._read_all()
        return self._newest

    def _read_all(self) -> list[Report]:
        known: dict[str, tuple[Version, Report | None]] = {}
        with contextlib.suppress(OSError), os.scandir(self._folder) as files:
            for file in files:
                if file.name.endswith(".json"):
                    with contextlib.suppress(OSError):
                        known[file.name] = self._read(file)
        self._known = known
        return [report for _, (_, report) in sorted(known.items()) if report is not None]

    def _read(self, file: os.DirEntry[str]) -> tuple[Version, Report | None]:
        told = file.stat()
        version = (told.st_ino, told.st_size, told.st_mtime_ns)
        before = self._known.get(file.name)
        if before is not None and before[0] == version:
            return before
        try:
            return version, _report.decode(Path(file.path).read_bytes())
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return version, None
