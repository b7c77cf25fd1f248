"""An HTTP answer as the two messages that ASGI wants, built once and sent as often as needed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
CLOSE: Header = (b"connection", b"close")


class Answer:
    """Status, headers and body. Never changed once made: answers without detail are shared."""

    __slots__ = ("body", "head", "status")

    def __init__(self, status: int, content: bytes, headers: Iterable[Header]) -> None:
        self.status = status
        self.head: dict[str, Any] = {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", b"%d" % len(content))],
        }
        self.body: dict[str, Any] = {"type": "http.response.body", "body": content}

    @property
    def content(self) -> bytes:
        content: bytes = self.body["body"]
        return content

    @property
    def headers(self) -> list[Header]:
        headers: list[Header] = self.head["headers"]
        return headers

    def closing(self) -> Answer:
        """The same, and the connection ends with it."""
        return Answer(self.status, self.content, [*self.headers[:-1], CLOSE])

    def saying(self, headers: Iterable[Header]) -> Answer:
        """The same with more headers."""
        return Answer(self.status, self.content, [*self.headers[:-1], *headers])

    def raw(self) -> bytes:
        """As bytes on the wire, for what is refused before it is a request."""
        lines = [b"HTTP/1.1 %d " % self.status, b"\r\n"]
        for name, value in self.headers:
            lines += (name, b": ", value, b"\r\n")
        return b"".join((*lines, b"\r\n", self.content))
