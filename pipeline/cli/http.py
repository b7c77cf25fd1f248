"""One HTTP request to a worker, with errors that a person understands."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from pipeline.errors import MissingError, UsageError

TIMEOUT_S = 30.0
"""As long as Standard Webhooks lets a sender wait."""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    """With names in lower case."""
    body: bytes


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """Sends one request. Raises MissingError when nobody answers."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url}: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(f"{url}: expected http://HOST:PORT/…")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(reachable(host), port, timeout=timeout_s)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise MissingError(f"{method} {url}: no answer: {reason}") from None
    finally:
        connection.close()


def reachable(host: str) -> str:
    """Where to go for somebody who listens on every address."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not a place to listen on
