"""What the API server refuses, in types that callers tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


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
