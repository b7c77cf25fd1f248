"""A commit tells who asked, once, whenever they asked; and it can be awaited."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.stages.gateway.commit import Commit, CommitFailedError


def test_who_asked_before_and_after_its_end_is_told_once() -> None:
    commit, told = Commit(1, 0, ()), []
    commit.then(lambda ended: told.append(("first", ended.error)))
    commit.then(lambda ended: told.append(("second", ended.error)))
    assert told == []
    commit.end()
    commit.then(lambda ended: told.append(("late", ended.error)))
    assert told == [("first", None), ("second", None), ("late", None)]


def test_it_can_be_awaited_before_and_after_its_end() -> None:
    async def story() -> None:
        commit = Commit(1, 0, ())
        asyncio.get_running_loop().call_soon(commit.end)
        await commit
        await commit

    asyncio.run(story())


def test_a_failure_is_raised_where_it_is_awaited() -> None:
    async def story() -> None:
        commit = Commit(1, 0, ())
        waits = commit.future()
        commit.end(CommitFailedError("the disk is gone"))
        with pytest.raises(CommitFailedError, match="the disk is gone"):
            await waits

    asyncio.run(story())


def test_a_waiter_that_gave_up_is_let_be() -> None:
    async def story() -> None:
        commit = Commit(1, 0, ())
        commit.future().cancel()
        commit.end()
        assert commit.ended

    asyncio.run(story())
