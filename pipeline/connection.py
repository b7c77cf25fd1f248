"""HTTP to a server by its URL, with errors that a person understands."""

from __future__ import annotations

import http.client
from urllib.parse import SplitResult, urlsplit

from pipeline.errors import MissingError, UsageError

FAILURES = (OSError, http.client.HTTPException)
"""What a connection raises when its server does not answer, or not in HTTP."""


def connect(url: str, timeout_s: float) -> tuple[http.client.HTTPConnection, SplitResult]:
    """A connection, not yet opened, and the parts of the URL. Raises UsageError for what is no URL."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url}: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(f"{url}: expected http://HOST:PORT")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(reachable(host), port, timeout=timeout_s), parts


def get(connection: http.client.HTTPConnection, path: str, most_bytes: int, asked: str) -> bytes:
    """The body of a GET over a connection that is kept; one byte more than `most_bytes` where there is more.

    Raises MissingError when nobody answers, or not with 200; the next GET connects anew then. `asked` says
    who, for the error.
    """
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(most_bytes + 1)
    except FAILURES as error:
        connection.close()
        raise MissingError(no_answer(asked, error)) from None
    if answer.status != 200:
        connection.close()
        raise MissingError(f"{asked}: answered {answer.status}")
    return body


def reachable(host: str) -> str:
    """Where to go for somebody who listens on every address."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not a place to listen on


def local_address(host: str) -> str:
    """Where a server that listens on `host` is reached from this machine, as a URL has it."""
    host = reachable(host or "127.0.0.1")
    return f"[{host}]" if ":" in host else host


def no_answer(asked: str, error: BaseException) -> str:
    """That nobody answered what was `asked`, and why."""
    return f"{asked}: no answer: {getattr(error, 'strerror', None) or str(error) or type(error).__name__}"
