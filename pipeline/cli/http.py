"""One HTTP request to a worker, with errors that a person understands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pipeline.connection import FAILURES, connect, no_answer
from pipeline.errors import MissingError

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
    connection, parts = connect(url, timeout_s)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    except FAILURES as error:
        raise MissingError(no_answer(f"{method} {url}", error)) from None
    finally:
        connection.close()
