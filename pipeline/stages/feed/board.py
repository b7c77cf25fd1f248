"""Asks the collector, the workers' link reports and the audit, and tells every viewer of the page.

While nobody looks only the plots' past goes on, every `limits.PAGE_IDLE_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from pipeline import limits
from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.connection import FAILURES, connect, no_answer
from pipeline.errors import MissingError, RinglineError
from pipeline.snapshot import Snapshot, decode_snapshot
from pipeline.stages.feed.decisions import Decisions
from pipeline.stages.feed.ledger import Ledger
from pipeline.stages.feed.readers import Readers
from pipeline.stages.feed.reports import Reports
from pipeline.stages.link_report import FOLDER
from pipeline.web.frame import Rates, frame_of, golden_path_of, point_of
from pipeline.web.viewers import Viewers

log = logging.getLogger(__name__)

ANSWER_S = 2.0
"""A collector answers in milliseconds."""
BOOK_S = 1.0
_encode = msgspec.json.Encoder().encode


class CollectorClient:
    """Snapshots over one connection that is kept. Belongs to one thread at a time."""

    def __init__(self, url: str) -> None:
        self._connection, parts = connect(url, ANSWER_S)
        self._url = url
        self._path = parts.path.rstrip("/") + "/v1/snapshot"

    def snapshot(self, brief: bool = False) -> Snapshot:
        """Without latencies and verdicts when `brief`. Raises MissingError when there is none to be had."""
        try:
            self._connection.request("GET", self._path + ("?brief=1" if brief else ""))
            answer = self._connection.getresponse()
            body = answer.read(limits.MAX_SNAPSHOT_BYTES + 1)
            if answer.status != 200:
                raise MissingError(f"collector {self._url}: answered {answer.status}")
            return decode_snapshot(body)
        except FAILURES as error:
            self._connection.close()
            raise MissingError(no_answer(f"collector {self._url}", error)) from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._connection.close()
            raise MissingError(f"collector {self._url}: no snapshot: {error}") from None

    def close(self) -> None:
        self._connection.close()


class Board:
    """`run()` is the caller's to run."""

    def __init__(
        self, config: Config, readers: Readers, viewers: Viewers, clock: Clock,
        fetch: Callable[[bool], Snapshot],
    ) -> None:  # fmt: skip
        self._every_s = config.feed.page_ms / 1000
        self._reports = Reports(Path(config.data_dir) / FOLDER)
        self._decisions = Decisions(Path(config.data_dir))
        self._ledger = Ledger(config)
        self._readers = readers
        self._viewers = viewers
        self._clock = clock
        self._fetch = fetch
        self._rates = Rates()
        self._snapshot: Snapshot | None = None
        self._fault = ""
        self._number = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        await asyncio.gather(self._frames(), self._books())

    async def _frames(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            await self.look()
            spent = loop.time() - started
            if self._viewers:
                await asyncio.sleep(max(0.0, self._every_s - spent))
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._viewers.first.wait(), limits.PAGE_IDLE_S)

    async def look(self) -> None:
        """One frame; about once a second also a point and the golden path, which cost more to ask for."""
        history = self._viewers.history
        whole = history.due(self._clock.wall_us() // 1000)
        try:
            snapshot = self._snapshot = await asyncio.to_thread(self._fetch, not whole)
            self._fault = ""
        except RinglineError as error:
            snapshot, self._fault = None, str(error)
        news = {}
        point = None
        if whole and snapshot is not None:
            point = point_of(snapshot, history.next_number)
            news["steps"] = _encode(golden_path_of(snapshot))
        if self._viewers:
            self._number += 1
            made = frame_of(
                self._snapshot, self._reports.read(), self._rates, number=self._number,
                now_us=self._clock.wall_us(), fault=self._fault, decisions=self._decisions.newest(),
            )  # fmt: skip
            news["frame"] = _encode(made)
        self._viewers.give(point, **news)

    async def _books(self) -> None:
        before = b""
        while True:
            await self._viewers.first.wait()
            try:
                view = await self._readers.run(self._ledger.turn)
            except RinglineError as error:
                log.debug("page: %s", error)
            else:
                made = _encode(view)
                if made != before:
                    before = made
                    self._viewers.give(book=made)
            await asyncio.sleep(BOOK_S / 10 if self._ledger.behind else BOOK_S)
