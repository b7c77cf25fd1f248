"""Reads decision records out of lines that may hold other things too: a container's log has both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from pipeline_operator import limits
from pipeline_operator.errors import RecordError
from pipeline_operator.record import Record, decode_record

_HEAD = b'{"schema":'


class OtherLine(Struct, frozen=True, kw_only=True):
    """A line that is no record, and why."""

    line: int
    why: str


class RecordLines:
    """The records of `lines`, with their numbers from 1. What else was there is told once they are read.

    Whatever stands before a record in its line (a time, the name of a pod) is passed over.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = lines
        self.read = 0
        """Lines, empty ones not counted."""
        self.others = 0
        """Lines that are no records; a torn last one is not among them."""
        self.examples: tuple[OtherLine, ...] = ()
        """The first of them."""
        self.torn: int | None = None
        """The last line, when it begins a record and ends in the middle of it."""

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        for number, line in enumerate(self._lines, 1):
            text = line.strip()
            if not text:
                continue
            self.read += 1
            start = max(0, text.find(_HEAD))
            try:
                record = decode_record(text[start:])
            except RecordError as error:
                self._note(number, error, is_torn=not line.endswith(b"\n") and _is_begun(text[start:]))
            else:
                yield number, record

    def _note(self, number: int, error: RecordError, *, is_torn: bool) -> None:
        if is_torn:
            self.torn = number
            return
        self.others += 1
        if len(self.examples) < limits.MAX_OTHER_LINES:
            self.examples += (OtherLine(line=number, why=str(error)),)


def _is_begun(text: bytes) -> bool:
    """The beginning of a record, and not the whole of one."""
    if not (text.startswith(_HEAD) or _HEAD.startswith(text)):
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True
    return False
