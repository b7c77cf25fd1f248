"""When work in pieces gives the event loop its turn: after some, and sooner where they take long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

from pipeline import valuation_limits
from pipeline.clock import NS_PER_MS

Found = TypeVar("Found")


class Turn:
    """One task's."""

    def __init__(self) -> None:
        self._done = 0
        self._since_ns = time.monotonic_ns()

    async def end(self) -> None:
        """After each piece."""
        self._done += 1
        took_ns = time.monotonic_ns() - self._since_ns
        long = took_ns >= valuation_limits.VALUATION_TURN_MS * NS_PER_MS
        if long or self._done >= valuation_limits.VALUATION_FEED_ROWS:
            await asyncio.sleep(0)
            self._done, self._since_ns = 0, time.monotonic_ns()


async def drive(work: Generator[None, None, Found]) -> Found:
    """Runs a generator that pauses to its end, and returns what it does; at each pause the loop turns."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            found: Found = done.value
            return found
        await asyncio.sleep(0)
