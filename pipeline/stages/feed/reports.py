"""What the workers have written last about their links: a file a worker, replaced as a whole."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from pipeline.web.frame import Report

_report = msgspec.json.Decoder(Report)
Version = tuple[int, int, int]
"""A file's inode, size and time of change: another file has another."""


class Reports:
    """Reads only what has changed: the page asks far more often than workers write."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._known: dict[str, tuple[Version, Report | None]] = {}

    def read(self) -> list[Report]:
        """By name; without those that cannot be read."""
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
