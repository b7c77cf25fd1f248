"""What an autoscaler of this machine has decided: the newest lines of its file, one JSON object each."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeline import limits

FILE = Path("run") / "decisions.jsonl"
"""In `data_dir`. Each line has at least `at` (RFC 3339) and `sentence`."""


class Line(Struct, frozen=True):
    at: str
    sentence: str


class Decisions:
    """Read again only when the file has changed; it need not be there."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / FILE
        self._seen: tuple[int, int] = (0, 0)
        self._newest: tuple[dict[str, str], ...] = ()

    def newest(self) -> tuple[dict[str, str], ...]:
        """The last one first. A line that is not whole yet, or none of ours, is left out."""
        try:
            facts = self._file.stat()
            seen = (facts.st_mtime_ns, facts.st_size)
            if seen != self._seen:
                self._newest = tuple(_lines(_end_of(self._file, facts.st_size)))
                self._seen = seen
        except OSError:
            self._newest = ()
        return self._newest


def _end_of(file: Path, size: int) -> bytes:
    with file.open("rb") as stream:
        stream.seek(max(0, size - limits.DECISIONS_TAIL_BYTES), os.SEEK_SET)
        return stream.read(limits.DECISIONS_TAIL_BYTES)


def _lines(data: bytes) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for text in reversed(data.splitlines()):
        if len(found) >= limits.DECISIONS_SHOWN:
            break
        try:
            line = msgspec.json.decode(text, type=Line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        found.append({"at": line.at, "sentence": line.sentence})
    return found
