"""An HTTP answer: the two messages that ASGI wants, or bytes; built once and sent as often as needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
CLOSE: Header = (b"connection", b"close")
PLAIN: Sequence[Header] = (JSON,)
"""The headers of an answer that says nothing but its content, which is JSON."""


class Answer:
    """Status, headers and body. Never changed once made: answers without detail are shared."""

    __slots__ = ("_own", "content", "plain", "status")

    def __init__(self, status: int, content: bytes, headers: Iterable[Header] = PLAIN) -> None:
        self.status = status
        self.content = content
        self.plain = headers is PLAIN
        """Whether its headers are `PLAIN` and its length."""
        self._own = PLAIN if self.plain else tuple(headers)

    @property
    def last(self) -> bool:
        """Whether it says that its connection ends with it."""
        return not self.plain and CLOSE in self._own

    @property
    def headers(self) -> list[Header]:
        return [*self._own, (b"content-length", b"%d" % len(self.content))]

    @property
    def head(self) -> dict[str, Any]:
        """The first message of ASGI."""
        return {"type": "http.response.start", "status": self.status, "headers": self.headers}

    @property
    def body(self) -> dict[str, Any]:
        """The second one."""
        return {"type": "http.response.body", "body": self.content}

    def closing(self) -> Answer:
        """The same, and the connection ends with it."""
        return Answer(self.status, self.content, [*self._own, CLOSE])

    def saying(self, headers: Iterable[Header]) -> Answer:
        """The same with more headers."""
        return Answer(self.status, self.content, [*self._own, *headers])

    def raw(self) -> bytes:
        """As bytes on the wire, for what is refused before it is a request."""
        lines = [b"HTTP/1.1 %d " % self.status, b"\r\n"]
        for name, value in self.headers:
            lines += (name, b": ", value, b"\r\n")
        return b"".join((*lines, b"\r\n", self.content))
