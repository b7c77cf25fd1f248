"""What an answer means to whoever sent the request. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from loadtests import limits

ACCEPTED = 202
SHEDDING = frozenset({429, 503})
NO_ANSWER = 0
REPLAYED_HEADER = "idempotent-replayed"

Meaning = Literal["met", "shed", "error"]


def meaning(status: int, retry_after: str | None, expected: Collection[int]) -> Meaning:
    """`met`: as expected. `shed`: refused for now, with a time to come again, so nobody is misled. Else
    `error`, also a 503 without Retry-After."""
    if status in expected:
        return "met"
    return "shed" if status in SHEDDING and retry_after is not None else "error"


def is_final(status: int) -> bool:
    """Whether sending it again would change nothing: only what was shed or not answered is sent again."""
    return status != NO_ANSWER and status not in SHEDDING


def pause_s(retry_after: str | None) -> float:
    """How long to wait before the same event is sent again, under the same webhook-id."""
    if retry_after is None or not retry_after.isdigit():
        return limits.RETRY_AFTER_LEAST_S
    return min(max(float(retry_after), limits.RETRY_AFTER_LEAST_S), limits.RETRY_AFTER_MOST_S)
