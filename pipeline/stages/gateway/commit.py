"""One event's way to the disk: what was appended, when, and who is to be told how it went.

A plain callback and no future: a future takes a turn of the loop and two objects more for each event.
Who wants to await it still can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence

from pipeline.delivery import Delivery
from pipeline.errors import MissingError

Told = Callable[["Commit"], object]


class CommitFailedError(MissingError):
    """The journal could not be synced: whether the event is on disk is unknown until the next start."""


class Commit:
    """Begun when its event is appended (with `jno` 0: a question only), ended once, well or with `error`."""

    __slots__ = ("_told", "appended_ns", "deliveries", "ended", "error", "events", "jno")

    def __init__(self, jno: int, appended_ns: int, deliveries: Sequence[Delivery], events: int = 1) -> None:
        self.jno = jno
        self.appended_ns = appended_ns
        self.deliveries = deliveries
        self.events = events
        """How many were accepted together: those of a batch, none of a question."""
        self.ended = False
        self.error: CommitFailedError | None = None
        self._told: Told | None = None

    def then(self, told: Told) -> None:
        """Calls `told` with this when it has ended; at once where it has already."""
        if self.ended:
            told(self)
        elif self._told is None:
            self._told = told
        else:
            self._told = _both(self._told, told)

    def end(self, error: CommitFailedError | None = None) -> None:
        """It is on disk, or nobody knows."""
        self.ended = True
        self.error = error
        told, self._told = self._told, None
        if told is not None:
            told(self)

    def future(self) -> asyncio.Future[None]:
        """Done when this has ended; fails with CommitFailedError."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def told(commit: Commit) -> None:
            if future.done():
                return
            if commit.error is None:
                future.set_result(None)
            else:
                future.set_exception(commit.error)
                future.exception()  # who asked may be gone by now

        self.then(told)
        return future

    def __await__(self) -> Generator[object, None, None]:
        return self.future().__await__()


def _both(first: Told, second: Told) -> Told:
    def told(commit: Commit) -> None:
        first(commit)
        second(commit)

    return told
