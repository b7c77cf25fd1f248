"""Errors that a user can meet, each knowing the exit code of the command it ends.

Everything that reaches a user derives from :class:`RinglineError`; its text is one or more clear lines
(what, which value, which limit) and never a traceback. Anything else that escapes is a bug of ours.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_OK = 0
EXIT_NO = 1
"""The answer is no: a gate failed, an audit does not verify."""
EXIT_USAGE = 2
EXIT_MISSING = 3


class RinglineError(Exception):
    """Base of every error meant for people."""

    exit_code: ClassVar[int] = EXIT_NO


class ConfigError(RinglineError):
    """The configuration is wrong. Carries every fault found, one line each."""

    exit_code = EXIT_USAGE

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class UsageError(RinglineError):
    """A command was called with words that do not fit; says which and what would fit."""

    exit_code = EXIT_USAGE


class MissingError(RinglineError):
    """Something needed is missing, taken or down: a secret, a port, space on a disk, a server."""

    exit_code = EXIT_MISSING


class DamagedError(RinglineError):
    """Stored data is damaged in a way that must not be papered over; the start is refused."""

    exit_code = EXIT_MISSING


class InvalidEventError(RinglineError):
    """An event is not acceptable; `field`, `value` and the limit are in the text.

    The gateway answers 400 or 422 with it.
    """

    exit_code = EXIT_USAGE

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


class FrameError(RinglineError):
    """Bytes from another process are not a message of ours. Counted and dropped, never fatal."""
