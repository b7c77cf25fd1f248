"""What entries are tied to: a correlation id that follows a request through awaits and tasks.

    with correlate(request_id):
        with measure(EventID.ORDER_PLACEMENT):
            ...

The id travels in a contextvar, 32 bits of it in every entry that `measure` and `MetricsCollector` write.
"""

from __future__ import annotations

import zlib
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

from pipeline.telemetry.layout import CORRELATION_MASK

if TYPE_CHECKING:
    from pipeline.telemetry.calls import Calls

_current: ContextVar[int] = ContextVar("telemetry_correlation", default=0)


def current_correlation() -> int:
    """What is in force here."""
    return _current.get()


def correlation_of(subject: int | str | bytes) -> int:
    """The 32 bits that stand for `subject`: its low bits, or the CRC-32 of its text."""
    if isinstance(subject, int):
        return subject & CORRELATION_MASK
    return zlib.crc32(subject.encode() if isinstance(subject, str) else subject)


class correlate:  # noqa: N801 - reads as a verb where it is used
    """`with correlate(request_id): …`: entries written inside, by this task or thread, carry the id."""

    __slots__ = ("_correlation", "_token")

    def __init__(self, subject: int | str | bytes) -> None:
        self._correlation = correlation_of(subject)

    def __enter__(self) -> int:
        _look_here()
        self._token: Token[int] = _current.set(self._correlation)
        return self._correlation

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def let_carry(calls: Calls) -> None:
    """Let these calls look for the id once `correlate` is used; until then it costs nothing."""
    global _calls
    _calls = calls
    if _used:
        calls.correlate_by(_current)


_calls: Calls | None = None
_used = False


def _look_here() -> None:
    global _used
    if not _used:
        _used = True
        if _calls is not None:
            _calls.correlate_by(_current)
