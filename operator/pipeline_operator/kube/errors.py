"""What the API server refuses, in types that callers tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

SERVER_WIDE = (429, 502, 503, 504)
"""Answers that are about the API server, not about the object that was asked for."""


class ApiError(Exception):
    """An answer of 400 or more. `status` is the HTTP code, `reason` the API's own word for it."""

    def __init__(self, status: int, reason: str, message: str, causes: tuple[str, ...] = ()) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.causes = causes
        """The reasons in `details.causes`, e.g. FieldManagerConflict."""

    @property
    def is_field_conflict(self) -> bool:
        """Somebody else owns the field that was applied."""
        return self.status == 409 and "FieldManagerConflict" in self.causes

    @property
    def is_refusal(self) -> bool:
        """The same call is refused again until somebody mends something: a right, a quota, a webhook. Not
        what a newer version of the object heals (404, 409), nor an API server that is busy or away."""
        return self.status not in (404, 409, *SERVER_WIDE)


class ApiAwayError(Exception):
    """No answer, or none wanted yet: the API server is away, or asked us to wait. Nothing was changed,
    or nobody knows."""


def error_of(status: int, body: bytes) -> ApiError:
    """The error in an answer, which should be a Status but may be anything."""
    try:
        told: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = None
    if not isinstance(told, dict) or told.get("kind") != "Status":
        return ApiError(status, "", body[:200].decode(errors="replace").strip())
    causes = (told.get("details") or {}).get("causes") or ()
    return ApiError(
        status,
        str(told.get("reason", "")),
        str(told.get("message", "")),
        tuple(str(cause.get("reason", "")) for cause in causes if isinstance(cause, Mapping)),
    )
