"""The engine, called in a thread of its own: however long it takes, the event loop turns.

A call has `VALUATION_STORE_S` from when it is asked for. One that has not answered by then is given up: its
connection is cut, and until the thread is free of it every other call is told at once that the engine is
away.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from pipeline import valuation_limits
from pipeline.storage.valuation.store import StoreAwayError, UnansweredError, ValuationStore

Found = TypeVar("Found")
_Job = tuple[Callable[[ValuationStore], Any], "Future[Any]"]


class Keeper:
    """One call at a time, in the order in which they are asked for."""

    def __init__(self, store: ValuationStore, within_s: float = valuation_limits.VALUATION_STORE_S) -> None:
        self._store = store
        self._within_s = within_s
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._stuck: Future[Any] | None = None
        self._running: tuple[Future[Any], float] | None = None
        """The call under way, and when it began: whoever asked for it may have gone."""
        # Not an executor's: the interpreter would wait for it at its end, however long it takes.
        self._thread = threading.Thread(target=self._work, name="valuation-engine", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[ValuationStore], Found]) -> Found:
        """Raises whatever `work` raises, StoreAwayError when the engine has no time for it, and
        UnansweredError when it has begun and does not answer."""
        if self._stuck is not None and not self._stuck.done():
            raise StoreAwayError("valuation: the engine has not answered the call before")
        asked: Future[Found] = Future()
        self._jobs.put((work, asked))
        answer = asyncio.wrap_future(asked)
        try:
            return await asyncio.wait_for(asyncio.shield(answer), self._within_s)
        except asyncio.CancelledError:
            answer.add_done_callback(_forget)
            asked.cancel()  # one that has not begun is nobody's any more, and would hold up the leaving
            raise
        except TimeoutError:
            answer.add_done_callback(_forget)
            if asked.cancel():
                self._give_up_overdue()
                raise StoreAwayError("valuation: the engine has not answered the calls before") from None
            self._give_up(asked)
            raise UnansweredError(
                f"valuation: the engine has not answered within {self._within_s:g} s"
            ) from None

    def close(self) -> None:
        """Waits for the call under way, as long as any may take; the store is closed then, or left."""
        self._jobs.put(None)
        if self._stuck is None or self._stuck.done():
            self._thread.join(self._within_s)
        if self._thread.is_alive():
            self._store.give_up()
        else:
            self._store.close()

    def _give_up(self, asked: Future[Any]) -> None:
        if not asked.done():
            self._stuck = asked
            self._store.give_up()

    def _give_up_overdue(self) -> None:
        running = self._running
        if running is not None and time.monotonic() - running[1] >= self._within_s:
            self._give_up(running[0])

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, asked = job
            if not asked.set_running_or_notify_cancel():
                continue
            self._running = asked, time.monotonic()
            try:
                found = work(self._store)
            except BaseException as error:  # whoever asked is told
                asked.set_exception(error)
            else:
                asked.set_result(found)


def _forget(answer: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more: what it raises was foreseen."""
    if not answer.cancelled():
        answer.exception()
