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
EVERY_NS = 300 * NS_PER_MS
"""Between two looks: rates of links are taken over more (`web.frame.LEAST_RATE_MS`), ages are told anyway."""


class Reports:
    """Reads now and then, and only what has changed: frames are made far more often."""

    def __init__(self, folder: Path, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._folder = folder
        self._now_ns = now_ns
        self._due_ns = 0
        self._newest: list[Report] = []
        self._known: dict[str, tuple[Version, Report | None]] = {}

    def read(self) -> list[Report]:
        """By name; without those that cannot be read."""
        now_ns = self._now_ns()
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + EVERY_NS
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
