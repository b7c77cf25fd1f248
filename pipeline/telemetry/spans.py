"""A `with` block that is made once and used often, in Python; the extension has its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NoReturn, cast

from pipeline import limits
from pipeline.telemetry.layout import CORRELATION_SHIFT, WORD_MASK
from pipeline.telemetry.writer import Put


def no_decorator(_block: object, *_: object, **__: object) -> NoReturn:
    """What calling a block does, as `@measure(…)` on a function would. Raises TypeError."""
    raise TypeError(
        "this is a block for `with`: a function is measured by @measure_sync(event) or @measure_async(event)"
    )


def make_span(put: Put, now: Callable[[], int]) -> Callable[..., AbstractContextManager[None]]:
    """What makes blocks that record by `put`.

    `with` binds `__enter__` and `__exit__` at each use; functions that need no self skip that, so each
    block is a class of its own around two of them. Who calls those of the class (ExitStack does) gives the
    block first: that is the argument too many, which they let pass.
    """

    def span(event_id: int, correlation: int = 0) -> AbstractContextManager[None]:
        what = _what(event_id, correlation)
        started: list[int] = []  # a stack: the same block may be inside itself
        begin, begun = started.append, started.pop

        def enter(_block: object = None) -> None:
            begin(now())

        def leave(_kind: object, _error: object, _trace: object, _more: object = None) -> None:
            ended_ns = now()
            if started:
                put(ended_ns, ended_ns - begun(), what)

        methods = {
            "__slots__": (),
            "__enter__": staticmethod(enter),
            "__exit__": staticmethod(leave),
            "__call__": no_decorator,
        }
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
