"""One collector's word, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from pipeline.clock import FakeClock
from pipeline.snapshot import Sla
from pipeline_operator import limits
from pipeline_operator.collectors.fake import FakeCollector, Manner, told_stage
from pipeline_operator.collectors.feed import Address, Feed

BREACH = Sla(event="AGENT_DECISION", percentile=99, limit_ns=1, window_s=1, verdict="violated", count=1)


@asynccontextmanager
async def listening(
    fake: FakeCollector, sketches: tuple[str, ...] = ()
) -> AsyncIterator[tuple[Feed, FakeClock, list[bool]]]:
    """A feed of `fake`, its clock, and the breaches it told of (False: a snapshot)."""
    news: list[bool] = []
    clock = FakeClock()
    async with fake, aiohttp.ClientSession() as session:
        address = Address("trading", "agent-0", fake.host, fake.port)
        feed = Feed(address, session, clock, lambda _, breach: news.append(breach), sketches)
        feed.start()
        try:
            yield feed, clock, news
        finally:
            await feed.stop()


async def until(asks: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not asks():
            await asyncio.sleep(0.01)


def test_the_stream_is_heard_and_a_breach_told_at_once() -> None:
    async def work() -> None:
        fake = FakeCollector()
        fake.tell(stages=[told_stage("agent", handled=7)])
        async with listening(fake) as (feed, _, news):
            await until(lambda: feed.received)
            assert feed.snapshot is not None
            assert feed.snapshot.stages[0].counts[0].handled == 7
            assert (feed.streaming, feed.fault) == (True, "")
            fake.breach(BREACH)
            await until(lambda: True in news)
            assert feed.breaches == 1

    asyncio.run(work())


def test_without_a_stream_it_polls_and_asks_for_the_same_sketches() -> None:
    async def work() -> None:
        fake = FakeCollector()
        fake.manner = Manner.POLL_ONLY
        async with listening(fake, ("AGENT_DECISION",)) as (feed, _, _news):
            await until(lambda: feed.received)
            assert not feed.streaming
        assert fake.asked[:2] == [
            "/v1/stream?sketches=AGENT_DECISION",
            "/v1/snapshot?sketches=AGENT_DECISION",
        ]

    asyncio.run(work())


def test_age_is_since_its_words_changed_by_our_clock() -> None:
    async def work() -> None:
        fake = FakeCollector()
        async with listening(fake) as (feed, clock, _):
            await until(lambda: feed.received)
            fake.manner = Manner.FROZEN
            before = feed.received
            await until(lambda: feed.received > before + 1)
            clock.advance(s=90)
            await until(lambda: feed.received > before + 2)
            assert feed.age_ms() >= 90_000

    asyncio.run(work())


@pytest.mark.parametrize(
    ("manner", "fault"),
    [
        (Manner.NONSENSE, "is no snapshot"),
        (Manner.OTHER_VERSION, "schema 99, not 1"),
        (Manner.ENDLESS, f"more than {limits.MAX_SNAPSHOT_BYTES} bytes"),
        (Manner.REDIRECT, "answered 302"),
    ],
)
def test_what_is_no_snapshot_is_named_and_asked_again(manner: Manner, fault: str) -> None:
    async def work() -> None:
        fake = FakeCollector()
        fake.manner = manner
        async with listening(fake) as (feed, _, news):
            await until(lambda: fault in feed.fault)
            assert (feed.snapshot, news) == (None, [])
            fake.manner = Manner.WELL
            await until(lambda: feed.received)
            assert feed.fault == ""

    asyncio.run(work())


@pytest.mark.parametrize("manner", [Manner.MUTE, Manner.SLOW])
def test_one_that_says_nothing_whole_is_left_after_a_while(
    monkeypatch: pytest.MonkeyPatch, manner: Manner
) -> None:
    monkeypatch.setattr(limits, "STREAM_SILENT_S", 1.5)

    async def work() -> None:
        fake = FakeCollector()
        fake.manner = manner
        async with listening(fake) as (feed, _, _news):
            await until(lambda: feed.fault == "does not answer in time")

    asyncio.run(work())


def test_one_that_is_not_there_is_named() -> None:
    async def work() -> None:
        fake = FakeCollector()
        async with fake:
            port = fake.port
        async with aiohttp.ClientSession() as session:
            feed = Feed(Address("n", "p", "127.0.0.1", port), session, FakeClock(), lambda *_: None)
            feed.start()
            await until(lambda: feed.fault.startswith("cannot be reached"))
            await feed.stop()

    asyncio.run(work())
