"""What a viewer is told first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from traded import Desk, candle, halt, write_audit

from pipeline.clock import FakeClock
from pipeline.config import Config, resolve
from pipeline.delivery import Delivery
from pipeline.errors import MissingError
from pipeline.snapshot import Snapshot
from pipeline.stages.feed.board import Board
from pipeline.stages.feed.elsewhere import Elsewhere
from pipeline.stages.feed.readers import Readers
from pipeline.storage.audit.reader import AuditReader
from pipeline.web.frame import Report, SentLink
from pipeline.web.history import Place
from pipeline.web.view import BookView, Frame
from pipeline.web.viewers import Viewer, Viewers

SNAPSHOT = Snapshot(taken_us=1, uptime_s=1, stages=(), replicas=(), latencies=())
LINK = SentLink(ordinal=3, up=True, leaving=False, credit=8, free=8, oldest_ns=None)


def no_audit() -> AuditReader:
    raise AssertionError("frames need no audit")


def test_the_links_of_other_pods_are_in_the_first_frame_and_asked_for_no_more_than_once_a_second(
    tmp_path: Path,
) -> None:
    asked: list[int] = []

    def links() -> list[Report]:
        asked.append(1)
        return [Report(name="agent-7", taken_us=1, links=(LINK,))]

    async def work() -> None:
        viewers, clock = Viewers(), FakeClock()
        config = resolve({"data_dir": str(tmp_path)})
        board = Board(
            config, Readers(no_audit), viewers, clock, lambda _: (SNAPSHOT, ""), None, Elsewhere(links, None)
        )
        await board.look()
        assert asked == [], "nobody looks"
        viewer = viewers.join(Place())
        assert viewer is not None
        await board.look()
        first = await viewer.next(viewers.history)
        assert first is not None
        assert b'"sender":"agent-7","receiver":"exec-3"' in first
        for _ in range(5):
            clock.advance(ms=200)
            await board.look()
        assert len(asked) == 2

    asyncio.run(work())


def told(data: bytes | None, name: str) -> list[bytes]:
    parts = (data or b"").split(b"\n\n")
    return [part.partition(b"data: ")[2] for part in parts if part.startswith(b"event: " + name.encode())]


async def next_of(viewers: Viewers, viewer: Viewer, name: str) -> bytes:
    """The first of this name that the viewer is told."""
    async with asyncio.timeout(10):
        while True:
            if found := told(await viewer.next(viewers.history), name):
                return found[-1]


async def looking(board: Board, work: Callable[[], Awaitable[None]]) -> None:
    running = asyncio.create_task(board.run())
    try:
        await work()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def test_who_comes_when_the_collector_is_gone_is_told_how_old_its_last_word_is(tmp_path: Path) -> None:
    clock, viewers = FakeClock(), Viewers()
    taken_us = clock.wall_us()
    there = True

    def fetch(brief: bool) -> tuple[Snapshot, str]:
        if not there:
            raise MissingError("collector: no answer")
        return Snapshot(taken_us=taken_us, uptime_s=1, stages=(), replicas=(), latencies=()), ""

    async def work() -> None:
        nonlocal there
        config = resolve({"data_dir": str(tmp_path)})
        board = Board(config, Readers(no_audit), viewers, clock, fetch)
        first = viewers.join(Place())
        assert first is not None
        await board.look()
        assert msgspec.json.decode(await next_of(viewers, first, "frame"), type=Frame).age_ms == 0
        viewers.leave(first)
        there = False
        clock.advance(ms=45_000)
        second = viewers.join(Place())
        assert second is not None
        await board.look()
        frame = msgspec.json.decode(await next_of(viewers, second, "frame"), type=Frame)
        assert (frame.age_ms, frame.fault) == (45_000, "collector: no answer")

    asyncio.run(work())


def desk_rows(config: Config) -> list[Delivery]:
    desk = Desk(config, "AAPL")
    return [desk.handle(candle(1, "10.25", "AAPL"), "one"), desk.handle(halt("now"), "stop")]


def test_who_comes_is_told_a_book_that_was_read_since_also_when_nothing_is_new(tmp_path: Path) -> None:
    config = resolve({"data_dir": str(tmp_path)})
    rows = desk_rows(config)
    file = write_audit(config, rows[:1])

    async def work() -> None:
        viewers = Viewers()
        readers = Readers(lambda: AuditReader.open(file))
        board = Board(config, readers, viewers, FakeClock(), lambda _: (SNAPSHOT, ""))

        async def book() -> BookView:
            viewer = viewers.join(Place())
            assert viewer is not None
            try:
                return msgspec.json.decode(await next_of(viewers, viewer, "book"), type=BookView)
            finally:
                viewers.leave(viewer)

        async def come_and_go() -> None:
            assert (await book()).head == 1
            write_audit(config, rows[1:])
            assert (await book()).head == 2
            assert (await book()).head == 2, "to each, though nothing has changed"

        await looking(board, come_and_go)
        readers.close()

    asyncio.run(work())
