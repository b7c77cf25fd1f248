"""The webhook-ids of a test: `lt-<run>-<user><number>`, so that 64 bits tell any two of one run apart."""

from __future__ import annotations

import re

_FORM = re.compile(r"^lt-([0-9a-f]{8})-([0-9a-f]{16})$")
MAX_USERS_A_PROCESS = 1 << 22
MAX_PROCESSES = 1 << 10
"""A user's number is 10 bits of its process and 22 of its own."""


def user_number(process: int, count: int) -> int:
    """32 bits that no other user of this run has."""
    return (process % MAX_PROCESSES) * MAX_USERS_A_PROCESS + count % MAX_USERS_A_PROCESS


def id_number(user: int, number: int) -> int:
    """64 bits that no other event of this run has."""
    return (user << 32) | (number & 0xFFFF_FFFF)


def webhook_id(run: str, number: int) -> str:
    return f"lt-{run}-{number:016x}"


def parse(webhook_id: str, run: str) -> int | None:
    """The number of an id of this run; None for one of somebody else's."""
    found = _FORM.match(webhook_id)
    return int(found[2], 16) if found and found[1] == run else None
