"""Group commit: what shares a sync, what waits for the next, and what a failing disk does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pipeline.clock import FakeClock
from pipeline.delivery import Delivery
from pipeline.stages.gateway.commit import CommitFailedError
from pipeline.stages.gateway.committer import Committer
from pipeline.stages.gateway.fake import MemoryAccepted, MemoryJournal
from pipeline.stages.gateway.recording import JOURNAL_WRITE


class Bench:
    """A committer over a journal in memory."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.journal = MemoryJournal(self.clock)
        self.dispatched: list[list[int]] = []
        self.recorded: list[tuple[int, int]] = []
        self.failures: list[str] = []
        self.committer = Committer(self.journal, self._dispatch, self, self.clock, self.failures.append)

    def record(self, event_id: int, duration_ns: int, correlation: int = 0) -> None:
        self.recorded.append((event_id, duration_ns))

    def accept(self, name: str, key: str = "K") -> tuple[MemoryAccepted, asyncio.Future[None]]:
        accepted = self.journal.accept("demo", name, bytes(16), key, b"payload")
        return accepted, self.committer.add(accepted.jno, accepted.deliveries).future()

    def _dispatch(self, deliveries: list[Delivery]) -> None:
        assert all(delivery.key_seq <= self.journal.synced for delivery in deliveries)
        self.dispatched.append([delivery.key_seq for delivery in deliveries])


def run(story: Callable[[Bench], Coroutine[Any, Any, None]]) -> Bench:
    bench = Bench()

    async def whole() -> None:
        try:
            await story(bench)
        finally:
            bench.journal.release()
            await bench.committer.close()

    asyncio.run(whole())
    return bench


def test_all_that_was_accepted_in_one_turn_of_the_loop_shares_the_first_sync() -> None:
    async def story(bench: Bench) -> None:
        futures = [bench.accept(name)[1] for name in "abc"]
        assert bench.journal.syncs == 0
        await asyncio.gather(*futures)
        assert bench.journal.syncs == 1
        assert bench.dispatched == [[1, 2, 3]]

    run(story)


def test_an_accepted_event_is_answered_and_dispatched_after_its_sync() -> None:
    async def story(bench: Bench) -> None:
        bench.journal.hold()
        accepted, future = bench.accept("a")
        await asyncio.sleep(0)
        assert not future.done()
        assert bench.dispatched == []
        bench.journal.release()
        await future
        assert bench.journal.synced == accepted.jno
        assert bench.dispatched == [[1]]
        assert bench.committer.pending == 0

    run(story)


def test_all_that_is_accepted_during_a_sync_shares_the_next_one() -> None:
    async def story(bench: Bench) -> None:
        bench.journal.hold()
        _, first = bench.accept("first")
        await asyncio.sleep(0)
        others = [bench.accept(f"other {number}")[1] for number in range(100)]
        assert bench.committer.pending == 101
        bench.journal.release()
        await asyncio.gather(first, *others)
        assert bench.committer.syncs == bench.journal.syncs == 2
        assert bench.dispatched == [[1], list(range(2, 102))]

    run(story)


def test_deliveries_leave_in_journal_order() -> None:
    async def story(bench: Bench) -> None:
        await asyncio.gather(*(bench.accept(str(number))[1] for number in range(500)))
        assert [seq for batch in bench.dispatched for seq in batch] == list(range(1, 501))

    run(story)


def test_journal_writes_are_recorded_from_append_to_synced() -> None:
    async def story(bench: Bench) -> None:
        bench.journal.hold()
        _, future = bench.accept("a")
        bench.clock.advance(ms=7)
        bench.journal.release()
        await future
        assert bench.recorded == [(JOURNAL_WRITE, 7_000_000)]

    run(story)


def test_a_barrier_waits_for_what_was_appended_before_it_and_is_no_write() -> None:
    async def story(bench: Bench) -> None:
        bench.journal.accept("demo", "a", bytes(16), "K", b"")
        await bench.committer.barrier()
        assert bench.journal.synced == 1
        assert bench.dispatched == []
        assert bench.recorded == []

    run(story)


def test_a_waiter_that_gives_up_disturbs_nobody() -> None:
    async def story(bench: Bench) -> None:
        bench.journal.hold()
        _, gone = bench.accept("gone")
        _, stays = bench.accept("stays")
        gone.cancel()
        bench.journal.release()
        await stays
        assert [seq for batch in bench.dispatched for seq in batch] == [1, 2]

    run(story)


def test_a_failing_sync_fails_all_waiters_and_every_later_event() -> None:
    async def story(bench: Bench) -> None:
        bench.journal.fail = OSError(5, "Input/output error")
        bench.journal.hold()
        futures = [bench.accept(name)[1] for name in "abc"]
        bench.journal.release()
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert all(isinstance(result, CommitFailedError) for result in results)
        bench.journal.fail = None
        with pytest.raises(CommitFailedError, match="Input/output error"):
            await bench.accept("d")[1]

    bench = run(story)
    assert bench.failures == ["journal: [Errno 5] Input/output error"]
    assert bench.dispatched == []
    assert bench.journal.syncs == 0


def test_a_sync_that_falls_short_is_a_failure() -> None:
    async def story(bench: Bench) -> None:
        future = bench.committer.add(5, ())
        with pytest.raises(CommitFailedError, match="synced up to 0 only, expected 5"):
            await future

    run(story)


def test_a_dispatcher_that_fails_takes_no_answer_away() -> None:
    async def story(bench: Bench) -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
        bench.committer._dispatch = lambda deliveries: 1 / 0  # type: ignore[assignment]
        await bench.accept("a")[1]
        assert isinstance(reported[0]["exception"], ZeroDivisionError)

    run(story)


def test_closing_syncs_what_is_left() -> None:
    async def story(bench: Bench) -> None:
        bench.accept("a")

    assert run(story).dispatched == [[1]]
