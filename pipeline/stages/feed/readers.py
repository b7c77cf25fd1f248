"""Reads the audit off the event loop: a few threads, each with a connection of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pipeline import limits
from pipeline.errors import MissingError, RinglineError
from pipeline.storage.audit.reader import AuditReader

T = TypeVar("T")


class Readers:
    """`open_reader` makes a connection: when a thread first needs one, and again after one has failed."""

    def __init__(self, open_reader: Callable[[], AuditReader]) -> None:
        self._open = open_reader
        self._own = threading.local()
        self._lock = threading.Lock()
        self._all: list[AuditReader] = []
        self._threads = ThreadPoolExecutor(limits.FEED_READERS, thread_name_prefix="reader")
        self._turns = asyncio.Semaphore(limits.FEED_READERS - 1)

    async def run(self, work: Callable[[AuditReader], T], *, first: bool = False) -> T:
        """`work` on some thread's reader. `first` is not kept waiting by others: for what is new.

        Raises MissingError while the audit is away or not there yet, and DamagedError.
        """
        loop = asyncio.get_running_loop()
        if first:
            return await loop.run_in_executor(self._threads, self._work, work)
        async with self._turns:
            return await loop.run_in_executor(self._threads, self._work, work)

    def close(self) -> None:
        """Waits for what is being read."""
        self._threads.shutdown()
        for reader in self._all:
            reader.close()
        self._all.clear()

    def _work(self, work: Callable[[AuditReader], T]) -> T:
        reader: AuditReader | None = getattr(self._own, "reader", None)
        if reader is None:
            reader = self._own.reader = self._open()
            with self._lock:
                self._all.append(reader)
        try:
            return work(reader)
        except MissingError:
            self._drop(reader)
            raise

    def _drop(self, reader: AuditReader) -> None:
        """The next one starts anew: a server that was restarted has forgotten this connection."""
        self._own.reader = None
        with self._lock:
            self._all.remove(reader)
        try:
            reader.close()
        except RinglineError:  # it is gone already
            return
