"""Group commit: one sync at a time, and all that was accepted during it shares the next one.

loop    accept a, b │ accept c, d, e          │ a, b: dispatch, answer │ accept f …
thread              └ sync ──────────────────▶┘└ sync (c, d, e) ──────▶

A sync begins at the end of the loop's turn, not with the first event: what was read together is synced
together. The first alone would go ahead of all others, for twice the syncs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

from pipeline.clock import NS_PER_MS, NS_PER_S, Clock
from pipeline.config.schema import Breaker as BreakerSettings
from pipeline.delivery import Delivery
from pipeline.stages.gateway.breaker import Breaker, Trip
from pipeline.stages.gateway.commit import Commit, CommitFailedError
from pipeline.stages.gateway.journal import Journal
from pipeline.stages.gateway.recording import JOURNAL_WRITE, Recorder
from pipeline.storage.journal import DiskFullError

log = logging.getLogger(__name__)

RETRY_S = 1.0
"""A sync that met a full disk is tried again after this long."""


class Committer:
    """Syncs the journal and tells what is on disk. All methods on the event loop's thread.

    `dispatch` gets the deliveries of each sync, in journal order, right after it. After a failed sync
    nothing is retried: the page cache may already have forgotten what the disk refused, and a sync that
    then "succeeds" would prove nothing. Only a full disk, which the journal meets before it writes, is
    waited out: those who asked are told so, and what they sent is dispatched once it is on disk after all.
    """

    def __init__(
        self,
        journal: Journal,
        dispatch: Callable[[list[Delivery]], None],
        recorder: Recorder,
        clock: Clock,
        on_failure: Callable[[str], object],
        settings: BreakerSettings | None = None,
    ) -> None:
        self._sync = journal.sync
        self._dispatch = dispatch
        self._record = recorder.record
        self._now_ns = clock.monotonic_ns
        self._on_failure = on_failure
        self._thread: Thread | None = None
        self._work: SimpleQueue[bool] = SimpleQueue()
        """True: sync; False: end. An executor would make a future of each, with a lock and a condition."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._covered: list[Commit] = []
        """What the sync under way will have put on disk."""
        self._next: list[Commit] = []
        self._kept: list[Commit] = []
        """What a full disk kept from being synced; nobody waits for it any more."""
        self._syncing = False
        self.breaker = Breaker(trip_of(settings or BreakerSettings()))
        self.failed = ""
        self.syncs = 0

    @property
    def pending(self) -> int:
        """Requests that wait for their commit."""
        return len(self._covered) + len(self._next)

    def add(self, jno: int, deliveries: Sequence[Delivery], events: int = 1) -> Commit:
        """Ends when `jno`, the last of so many just appended, is on disk, or with CommitFailedError."""
        commit = Commit(jno, self._now_ns(), deliveries, events)
        if self.failed:
            commit.end(CommitFailedError(self.failed))
            return commit
        self._next.append(commit)
        if not self._syncing:
            self._syncing = True
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._start)
        return commit

    def barrier(self) -> Commit:
        """Ends when all that was appended until now is on disk."""
        return self.add(0, (), 0)

    async def close(self) -> None:
        """Syncs what is left and ends the thread."""
        try:
            if not self.failed:
                await self.barrier()
        finally:
            self.failed = self.failed or "the gateway has left"
            if self._thread is not None:
                self._work.put(False)
                self._thread.join()

    def _start(self) -> None:
        self._covered, self._next, self._kept = self._kept + self._next, [], []
        self._syncing = True
        if self._thread is None:
            self._thread = Thread(target=self._work_off, name="journal-sync", daemon=True)
            self._thread.start()
        self._work.put(True)

    def _work_off(self) -> None:
        """The thread's work, until it is told to end."""
        while self._work.get():
            self._run()

    def _run(self) -> None:
        """On the thread."""
        try:
            synced = self._sync()
        except DiskFullError as error:
            self._tell(self._postpone, str(error))
        except Exception as error:
            self._tell(self._fail, f"journal: {error}")
        else:
            self._tell(self._done, synced)

    def _tell(self, method: Callable[..., None], what: int | str) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # a loop that has ended in the meantime: nobody waits any more
            self._loop.call_soon_threadsafe(method, what)

    def _done(self, synced: int) -> None:
        covered = self._covered
        if (last := max([commit.jno for commit in covered])) > synced:
            self._fail(f"journal: synced up to {synced} only, expected {last}")
            return
        self.syncs += 1
        self._covered = []
        self._syncing = bool(self._next)
        if self._syncing:
            assert self._loop is not None
            self._loop.call_soon(self._start)
        now_ns, record = self._now_ns(), self._record
        deliveries: list[Delivery] = []
        if last:
            events = sum([commit.events for commit in covered])
            self.breaker.committed(now_ns, now_ns - covered[0].appended_ns, events)
        for commit in covered:
            if commit.jno:
                record(JOURNAL_WRITE, now_ns - commit.appended_ns)
                deliveries += commit.deliveries
        try:
            if deliveries:
                self._dispatch(deliveries)
        finally:
            self._end(covered)

    def _postpone(self, text: str) -> None:
        """The disk is full: nothing is lost, and nothing can be promised."""
        assert self._loop is not None
        waiting = self._covered + self._next
        self._kept = [each for each in waiting if each.jno]
        self._covered, self._next = [], []
        self._syncing = False
        self.breaker.failed(self._now_ns())
        self._end(waiting, CommitFailedError(text))
        self._loop.call_later(RETRY_S, self._retry)

    def _retry(self) -> None:
        if self._kept and not self._syncing and not self.failed:
            self._start()

    def _fail(self, text: str) -> None:
        log.error("%s; no more events are taken until the gateway is started again", text)
        self.failed = text
        failed, self._covered, self._next = self._covered + self._next, [], []
        self._syncing = False
        self._on_failure(text)  # before the answers, which say so
        self._end(failed, CommitFailedError(text))

    @staticmethod
    def _end(commits: list[Commit], error: CommitFailedError | None = None) -> None:
        """Tells everybody, also when somebody fails at being told."""
        for commit in commits:
            if commit.ended:
                continue  # kept by a full disk: it was told so then
            try:
                commit.end(error)
            except Exception:
                log.exception("an answer could not be given")


def trip_of(settings: BreakerSettings) -> Trip:
    """The configuration in the breaker's units."""
    return Trip(
        window_ns=settings.window_s * NS_PER_S,
        least_commits=settings.least_commits,
        slow_ns=settings.slow_ms * NS_PER_MS,
        bad_percent=settings.bad_percent,
        open_ns=settings.open_s * NS_PER_S,
        probes=settings.probes,
    )
