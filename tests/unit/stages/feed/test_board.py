"""What a viewer is told first."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pipeline.clock import FakeClock
from pipeline.config import resolve
from pipeline.snapshot import Snapshot
from pipeline.stages.feed.board import Board
from pipeline.stages.feed.elsewhere import Elsewhere
from pipeline.stages.feed.readers import Readers
from pipeline.storage.audit.reader import AuditReader
from pipeline.web.frame import Report, SentLink
from pipeline.web.history import Place
from pipeline.web.viewers import Viewers

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
