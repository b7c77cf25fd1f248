"""A `with` block that is made once and used often, in Python; the extension has its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import cast

from pipeline import limits
from pipeline.telemetry.layout import CORRELATION_SHIFT, WORD_MASK
from pipeline.telemetry.writer import Put


def make_span(put: Put, now: Callable[[], int]) -> Callable[..., AbstractContextManager[None]]:
    """What makes blocks that record by `put`.

    `with` binds `__enter__` and `__exit__` at each use; functions that need no self skip that, so each
    block is a class of its own around two of them.
    """

    def span(event_id: int, correlation: int = 0) -> AbstractContextManager[None]:
        what = _what(event_id, correlation)
        started: list[int] = []  # a stack: the same block may be inside itself
        begin, begun = started.append, started.pop

        def enter() -> None:
            begin(now())

        def leave(_kind: object, _error: object, _trace: object) -> None:
            ended_ns = now()
            put(ended_ns, ended_ns - begun(), what)

        methods = {"__slots__": (), "__enter__": staticmethod(enter), "__exit__": staticmethod(leave)}
        return cast("AbstractContextManager[None]", type("Span", (), methods)())

    return span


def _what(event_id: int, correlation: int) -> int:
    """The third word; one that `put` refuses when it cannot be built."""
    try:
        if event_id > limits.MAX_EVENT_ID:
            return WORD_MASK + 1
        return event_id | correlation << CORRELATION_SHIFT
    except TypeError:
        return WORD_MASK + 1
