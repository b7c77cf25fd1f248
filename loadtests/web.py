"""One HTTP request to a process of the pipeline, and the figures of its metrics page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.connection import FAILURES, connect, no_answer
from pipeline.errors import MissingError

TIMEOUT_S = 3.0


class Page(NamedTuple):
    status: int
    body: bytes


def fetch(
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Page:
    """Raises MissingError when nobody answers, UsageError for what is no URL."""
    connection, parts = connect(url, timeout_s)
    try:
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Page(response.status, response.read())
    except FAILURES as error:
        raise MissingError(no_answer(url, error)) from None
    finally:
        connection.close()


def bearer(token: str) -> dict[str, str]:
    """The header of who may read; none where no token is asked for."""
    return {"authorization": f"Bearer {token}"} if token else {}


def problem_detail(body: bytes) -> str:
    """What a problem document (RFC 9457) says; empty when it is none."""
    try:
        said: Any = json.loads(body)
    except ValueError:
        return ""
    return str(said.get("detail") or said.get("title") or "") if isinstance(said, dict) else ""


def gauges(text: str) -> dict[str, float]:
    """The samples without labels of a Prometheus page."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name and not name.startswith("#") and "{" not in name:
            try:
                found[name] = float(value)
            except ValueError:
                continue
    return found
