"""Asks the collector, the workers' link reports and the audit, and tells every viewer of the page.

While nobody looks only the plots' past goes on, every `limits.PAGE_IDLE_S`. Whoever comes is told a frame and
a book that were made since.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from pipeline import limits
from pipeline.clock import NS_PER_MS, Clock
from pipeline.config import Config
from pipeline.errors import RinglineError
from pipeline.snapshot import Snapshot
from pipeline.stages.feed.collector_stream import CollectorStream
from pipeline.stages.feed.collectors import Told
from pipeline.stages.feed.decisions import Decisions
from pipeline.stages.feed.elsewhere import Elsewhere
from pipeline.stages.feed.ledger import Ledger
from pipeline.stages.feed.readers import Readers
from pipeline.stages.feed.reports import Reports
from pipeline.telemetry.link_files import links_folder
from pipeline.web.frame import Rates, Report, frame_of, golden_path_of, point_of
from pipeline.web.view import BookView
from pipeline.web.viewers import Viewer, Viewers

BOOK_S = 1.0
_encode = msgspec.json.Encoder().encode


class Board:
    """`run()` is the caller's to run."""

    def __init__(
        self, config: Config, readers: Readers, viewers: Viewers, clock: Clock,
        fetch: Callable[[bool], Told], stream: CollectorStream | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:  # fmt: skip
        """`fetch` asks, with whether briefly, on a thread; `stream` tells by itself while somebody looks;
        `elsewhere`: links and decisions come from other pods, and not from files here."""
        self._every_s = config.feed.page_ms / 1000
        self._elsewhere = elsewhere
        self._looked_ns: int | None = None
        self._reports = Reports(links_folder(config))
        self._decisions = Decisions(Path(config.data_dir))
        self._ledger = Ledger(config)
        self._readers = readers
        self._viewers = viewers
        self._clock = clock
        self._fetch = fetch
        self._stream = stream
        self._rates = Rates()
        self._snapshot: Snapshot | None = None
        self._fault = ""
        self._number = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        await asyncio.gather(self._frames(), self._books())

    async def _frames(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                started = loop.time()
                await self.look()
                spent = loop.time() - started
                if self._viewers:
                    if self._stream is None or self._fault:  # else it sets the pace
                        await asyncio.sleep(max(0.0, self._every_s - spent))
                    continue
                self._close_stream()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._viewers.first.wait(), limits.PAGE_IDLE_S)
        finally:
            self._close_stream()

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()

    async def look(self) -> None:
        """One frame; about once a second also a point and the golden path, which cost more to ask for."""
        history = self._viewers.history
        snapshot, whole = None, False
        try:
            snapshot, whole, self._fault = await self._told()
            self._snapshot = snapshot
        except RinglineError as error:
            self._fault = str(error)
        news = {}
        point = None
        if whole and snapshot is not None:
            news["steps"] = _encode(golden_path_of(snapshot))
            if history.due(snapshot.taken_us // 1000):
                point = point_of(snapshot, history.next_number)
        if self._viewers:
            reports, decisions = await self._told_besides()
            self._number += 1
            made = frame_of(
                self._snapshot, reports, self._rates, number=self._number,
                now_us=self._clock.wall_us(), fault=self._fault, decisions=decisions,
            )  # fmt: skip
            news["frame"] = _encode(made)
        self._viewers.give(point, **news)

    async def _told(self) -> tuple[Snapshot, bool, str]:
        """A snapshot, whether with latencies, and what is missing of it. Raises MissingError."""
        if self._viewers and self._stream is not None:
            snapshot = await self._stream.next()
            return snapshot, not snapshot.brief, ""
        whole = self._viewers.history.due(self._clock.wall_us() // 1000)
        snapshot, fault = await asyncio.to_thread(self._fetch, not whole)
        return snapshot, whole, fault

    async def _told_besides(self) -> tuple[list[Report], tuple[dict[str, str], ...]]:
        """The links, and what was decided to scale; of other pods as of about a second ago."""
        if self._elsewhere is None:
            return self._reports.read(), self._decisions.newest(self._clock.wall_us())
        now_ns = self._clock.monotonic_ns()
        if self._looked_ns is None or now_ns - self._looked_ns >= limits.PAGE_POINT_MS * NS_PER_MS:
            self._looked_ns = now_ns
            await asyncio.to_thread(self._elsewhere.look)
        return self._elsewhere.reports, self._elsewhere.decisions

    async def _books(self) -> None:
        """While it is behind it reads on ten times as often as it tells of it. Newcomers are told at once, of
        a reading that began after they came."""
        loop = asyncio.get_running_loop()
        viewers, have = self._viewers, frozenset[Viewer]()
        view, before, due_s = BookView(), b"", 0.0
        while True:
            await viewers.first.wait()
            viewers.came.clear()
            there = viewers.all()
            try:
                view = await self._readers.run(self._ledger.turn)
            except RinglineError as error:
                view = msgspec.structs.replace(view, away=str(error))
            newcomers = there - have
            if newcomers or view.away or not self._ledger.behind or loop.time() >= due_s:
                made, due_s = _encode(view), loop.time() + BOOK_S
                viewers.give_to(newcomers if made == before else there, book=made)
                before, have = made, there
            await asyncio.sleep(BOOK_S / 10)
            if not self._ledger.behind:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(viewers.came.wait(), BOOK_S * 9 / 10)
