"""The engine, called in a thread of its own: however long it takes, the event loop turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pipeline.storage.valuation.store import ValuationStore

Found = TypeVar("Found")


class Keeper:
    """One call at a time, in the order in which they are asked for."""

    def __init__(self, store: ValuationStore) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="valuation-engine")

    async def run(self, work: Callable[[ValuationStore], Found]) -> Found:
        """Raises whatever `work` raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._store)

    def close(self) -> None:
        """Waits for the call under way."""
        self._thread.shutdown(wait=True)
        self._store.close()
