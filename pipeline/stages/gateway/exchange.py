"""One request and its answer straight between protocol and application: no task, no queue, no scope.

A webhook that arrives in one piece needs none of what ASGI is for. Whatever is out of the ordinary (a body in
pieces, a page, a fault in the headers) takes uvicorn's way, so the rules of HTTP stand in one place.
"""

from __future__ import annotations

from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from pipeline.stages.gateway.answer import CLOSE, PLAIN, Answer, Header


class StraightApp(Protocol):
    """An application that takes some requests without ASGI."""

    def opened(self, url: bytes, headers: list[Header]) -> Any:
        """What `posted` is to be told of a request with this head; None where ASGI should have it."""

    def addressed(self, url: bytes, named: dict[bytes, bytes], body_bytes: int) -> Any:
        """The same of headers that are usual and given once each, for a body of so many bytes."""

    def posted(self, exchange: Exchange, opened: Any, body: bytes) -> None:
        """Takes the request, and has `exchange` answer now or later."""


class Connection(Protocol):
    """What an exchange needs of its connection."""

    def answered(self, data: bytes, *, last: bool) -> None:
        """Sends an answer's bytes; the connection ends with them if it is the `last`."""


class _Nobody:
    """Whom uvicorn tells of what only its own cycles wait for."""

    def set(self) -> None:
        """Nobody waits."""


_NOBODY = _Nobody()


class Exchange:
    """A request that was taken and is not answered yet, as uvicorn's protocol looks at its cycle."""

    __slots__ = ("_connection", "_heads", "disconnected", "keep_alive", "response_complete",
                 "response_started")  # fmt: skip

    more_body = False
    message_event = _NOBODY

    def __init__(self, connection: Connection, heads: Heads) -> None:
        self._connection = connection
        self._heads = heads
        self.keep_alive = True
        self.disconnected = False
        self.response_started = False
        self.response_complete = False

    def reply(self, answer: Answer) -> None:
        """The answer, once."""
        if self.disconnected:
            return
        self.response_started = self.response_complete = True
        last = not self.keep_alive or answer.last
        self._connection.answered(self._heads.response(answer, last=last), last=last)


class Heads:
    """Answers as bytes, with the headers that every answer has (the date); remembers the commonest head."""

    __slots__ = ("_accepted", "_common", "_state")

    def __init__(self, state: Any) -> None:
        """`state`: uvicorn's, which makes its `default_headers` anew each second."""
        self._state = state
        self._common: list[Header] | None = None
        self._accepted = b""

    def response(self, answer: Answer, *, last: bool) -> bytes:
        """As uvicorn would write it."""
        common = self._state.default_headers
        if answer.status == 202 and answer.plain and not last:
            if common is not self._common:
                self._common = common
                head = _head(202, [*common, *PLAIN]).replace(b"%", b"%%")
                self._accepted = head + b"content-length: %d\r\n\r\n%b"
            content = answer.content
            return self._accepted % (len(content), content)
        headers = [*common, *answer.headers]
        if last and not answer.last:
            headers.append(CLOSE)
        return _head(answer.status, headers) + b"\r\n" + answer.content


def _head(status: int, headers: list[Header]) -> bytes:
    return STATUS_LINE[status] + b"".join([b"%b: %b\r\n" % header for header in headers])
