"""The engine in its own thread: one that does not answer is given up, and everybody is told at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.stages.valuation.keeper import Keeper
from pipeline.storage.valuation.memory import MemoryValuationStore
from pipeline.storage.valuation.store import StoreAwayError, UnansweredError, ValuationStore

WITHIN_S = 0.2


class Deaf(MemoryValuationStore):
    """Hears neither calls nor that it was given up, until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.hears = threading.Event(), threading.Event()
        self.given_up = 0

    def give_up(self) -> None:
        self.given_up += 1


@pytest.fixture
def store() -> Iterator[Deaf]:
    deaf = Deaf()
    yield deaf
    deaf.hears.set()


def waits(store: ValuationStore) -> str:
    assert isinstance(store, Deaf)
    store.begun.set()
    assert store.hears.wait(10)
    return "late"


def answers(_: ValuationStore) -> str:
    return "here"


async def until_it_answers(keeper: Keeper) -> str:
    deadline = time.monotonic() + 10
    while True:
        try:
            return await keeper.run(answers)
        except StoreAwayError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


def test_while_one_call_is_not_answered_every_other_is_told_at_once(store: Deaf) -> None:
    keeper = Keeper(store, WITHIN_S)

    async def asked() -> None:
        with pytest.raises(UnansweredError, match=r"within 0\.2 s"):
            await keeper.run(waits)
        for _ in range(3):
            with pytest.raises(StoreAwayError, match="has not answered the call before"):
                await keeper.run(answers)
        assert store.given_up == 1
        store.hears.set()
        assert await until_it_answers(keeper) == "here"

    asyncio.run(asked())
    keeper.close()


def test_a_call_whose_asker_has_gone_is_given_up_by_the_next_one(store: Deaf) -> None:
    keeper = Keeper(store, WITHIN_S)

    async def asked() -> None:
        gone = asyncio.create_task(keeper.run(waits))
        await asyncio.to_thread(store.begun.wait, 10)
        gone.cancel()
        with pytest.raises(StoreAwayError, match="has not answered the calls before"):
            await keeper.run(answers)
        assert store.given_up == 1
        with pytest.raises(StoreAwayError, match="has not answered the call before"):
            await keeper.run(answers)
        store.hears.set()
        assert await until_it_answers(keeper) == "here"

    asyncio.run(asked())
    keeper.close()


def test_a_call_that_nobody_waits_for_any_more_is_not_begun(store: Deaf) -> None:
    keeper = Keeper(store, 10)
    begun: list[str] = []

    async def asked() -> None:
        first = asyncio.create_task(keeper.run(waits))
        await asyncio.to_thread(store.begun.wait, 10)
        second = asyncio.create_task(keeper.run(lambda _: begun.append("second")))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        store.hears.set()
        assert await first == "late"
        assert await keeper.run(answers) == "here"

    asyncio.run(asked())
    keeper.close()
    assert not begun
