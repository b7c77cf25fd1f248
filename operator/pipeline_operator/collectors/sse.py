"""Server-sent events (HTML standard, 9.2), as far as a collector sends them; bounded in every direction."""

from __future__ import annotations

from typing import NamedTuple

from pipeline_operator import limits


class StreamError(ValueError):
    """What came is no stream of a collector."""


class Sent(NamedTuple):
    event: str
    data: bytes


class SseParser:
    """Bytes in, events out. Raises StreamError when an event grows beyond what a snapshot may have."""

    def __init__(self, most_bytes: int = limits.MAX_SNAPSHOT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._rest = bytearray()
        self._event = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[Sent]:
        """The events that `piece` completes."""
        self._rest += piece
        found: list[Sent] = []
        start = 0
        while (end := self._rest.find(b"\n", start)) >= 0:
            line = bytes(self._rest[start:end]).removesuffix(b"\r")
            start = end + 1
            if line:
                self._take(line)
            elif sent := self._end():
                found.append(sent)
        del self._rest[:start]
        if len(self._rest) + self._size > self._most_bytes:
            raise StreamError(f"an event of more than {self._most_bytes} bytes")
        return found

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._event = value[:64].decode(errors="replace")
        elif name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
            if self._size > self._most_bytes:
                raise StreamError(f"an event of more than {self._most_bytes} bytes")

    def _end(self) -> Sent | None:
        event, data = self._event or "message", b"\n".join(self._data)
        self._event, self._data, self._size = "", [], 0
        return Sent(event, data) if data else None
