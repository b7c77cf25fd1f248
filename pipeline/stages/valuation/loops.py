"""The loops that record: every domain's value, and what a restart goes on from.

Neither holds the event loop: books are valued in slices, and the engine is called in its own thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice

import msgspec
from msgspec import Struct

from pipeline import valuation_limits
from pipeline.clock import NS_PER_MS, US_PER_S
from pipeline.stages.valuation.desk import Desk
from pipeline.stages.valuation.turn import drive
from pipeline.storage.valuation.store import NavRow, StoreAwayError, ValuationStore
from pipeline.telemetry.recorder import Recorder
from pipeline.valuation.book import Book
from pipeline.valuation.nav import NoMarkError, StaleMarkError, in_slices
from pipeline.valuation.own_book import Holding
from pipeline.valuation.quotes import Seen

log = logging.getLogger(__name__)


class NavPoint(Struct, frozen=True, array_like=True):
    """A recorded value; texts of integers with `amounts.MONEY_SCALE` decimals. `ensemble` and `spread` are
    "" where no model had a price."""

    nav: str
    ensemble: str
    spread: str


class Head(Struct, frozen=True, array_like=True):
    """What a restart goes on from: the next row of the audit, the hash of the one before, the own book."""

    next_row: int = 1
    last_hash: str = ""
    complete: bool = True
    cash: str = "0"
    holdings: tuple[Holding, ...] = ()


_encode = msgspec.msgpack.Encoder().encode
_seen = msgspec.msgpack.Decoder(Seen)
_head = msgspec.msgpack.Decoder(Head)
read_point = msgspec.msgpack.Decoder(NavPoint).decode


class NavLoop:
    """Records what every domain is worth. `event`: what its duration is recorded as."""

    def __init__(self, desk: Desk, recorder: Recorder, event: int) -> None:
        self._desk = desk
        self._recorder = recorder
        self._event = event
        self._waiting: dict[tuple[str, int], NavRow] = {}
        self._storing: asyncio.Task[None] | None = None
        self._away = False
        self._gone: set[str] = set()
        """Domains that were taken out since the turn began: one of the same name now is another one."""
        desk.on_gone = self._forget
        self.lost = 0
        """Values that had no more room in memory: the oldest."""

    @property
    def unstored(self) -> int:
        return len(self._waiting)

    async def run(self) -> None:
        """Until it is cancelled; a turn that is late leaves turns out and does not hurry after them."""
        try:
            await every(self._desk.settings.nav_every_ms, self._take_and_store)
        finally:
            if self._storing is not None:
                self._storing.cancel()
                self._storing = None

    async def turn(self) -> None:
        """One value of every domain that can be valued, stored with all that wait."""
        await self._take()
        await self._store()

    async def store(self) -> None:
        """Stores all that wait. Raises StoreAwayError; those that are not stored go on waiting."""
        await self._desk.settle()
        while rows := self._next_rows():
            await self._append(rows)
            for row in rows:
                self._waiting.pop((row.domain, row.at_us), None)

    async def _take_and_store(self) -> None:
        """The next turn does not wait for an engine that takes its time."""
        await self._take()
        if self._storing is not None and self._storing.done():
            self._storing.result()
            self._storing = None
        if self._storing is None:
            self._storing = asyncio.create_task(self._store())

    async def _take(self) -> None:
        started_ns = time.monotonic_ns()
        now_us = self._desk.clock.wall_us()
        self._gone.clear()
        for book in self._desk.books():
            if book.name == self._desk.own_name and self._desk.own_doubt():
                continue  # what it is worth now will never be known; a wrong value would be kept for days
            try:
                row = NavRow(book.name, now_us, _encode(await self._point(book)))
            except (NoMarkError, StaleMarkError):  # whoever asks for its value is told
                continue
            if book.name in self._gone:
                continue
            self._waiting[row.domain, now_us] = row
            if len(self._waiting) > valuation_limits.MAX_NAV_PENDING:
                del self._waiting[next(iter(self._waiting))]
                self.lost += 1
            await asyncio.sleep(0)
        self._recorder.record(self._event, time.monotonic_ns() - started_ns)

    def _forget(self, domain: str) -> None:
        self._gone.add(domain)
        self._waiting = {key: row for key, row in self._waiting.items() if row.domain != domain}

    async def _point(self, book: Book) -> NavPoint:
        quotes = self._desk.quotes.by_symbol
        if len(book.positions) > valuation_limits.VALUATION_SLICE:
            quotes = dict(quotes)  # off and on of one instant
        now_us = self._desk.clock.wall_us()
        max_age_us = self._desk.settings.stale_after_s * US_PER_S
        plain = await drive(in_slices(book, quotes, False, now_us, max_age_us, with_lines=False))
        try:
            agreed = await drive(in_slices(book, quotes, True, now_us, max_age_us, with_lines=False))
        except NoMarkError:
            return NavPoint(str(plain.nav), "", "")
        return NavPoint(str(plain.nav), str(agreed.nav), str(agreed.spread))

    async def _store(self) -> None:
        try:
            await self.store()
        except StoreAwayError as error:
            if not self._away:
                log.warning("valuation: values wait in memory: %s", error)
            self._away = True

    def _next_rows(self) -> tuple[NavRow, ...]:
        rows = (row for row in self._waiting.values() if row.domain not in self._desk.going)
        return tuple(islice(rows, valuation_limits.MAX_NAV_STORED))

    async def _append(self, rows: Sequence[NavRow]) -> None:
        keep_since_us = self._desk.clock.wall_us() - self._desk.settings.nav_keep_s * US_PER_S
        await self._desk.keeper.run(lambda store: store.append_nav(rows, keep_since_us))
        if self._away:
            log.warning(
                "valuation: the engine answers again; %d values were waiting, %d had no room",
                len(self._waiting), self.lost,
            )  # fmt: skip
        self._away = False


class SnapshotLoop:
    """Stores what has changed. `place` tells where the feed is: next row, hash before it, complete."""

    def __init__(
        self, desk: Desk, place: Callable[[], tuple[int, str, bool]], recorder: Recorder, event: int
    ) -> None:
        self._desk = desk
        self._place = place
        self._recorder = recorder
        self._event = event
        self._stored: Head | None = None
        self._away = False
        self.clear = False
        """The next one replaces all that was stored before."""
        self.at_us = 0
        self.symbols = 0

    @property
    def next_row(self) -> int:
        """From where a restart now would read on."""
        return self._stored.next_row if self._stored else 1

    async def restore(self) -> Head:
        """What was stored last, taken into the desk. Raises StoreAwayError."""
        found = await self._desk.keeper.run(lambda store: store.snapshot())
        if found is None:
            return Head()
        head = _head.decode(found.head)
        self._desk.own.restore(head.cash, head.holdings)
        await self._desk.marking.restore(map(_seen.decode, found.symbols.values()))
        self._stored, self.at_us = head, found.at_us
        return head

    async def run(self) -> None:
        """Until it is cancelled."""
        await every(self._desk.settings.snapshot_every_ms, self.turn)

    async def turn(self) -> None:
        """As `store`; what cannot be stored is tried again at the next turn."""
        try:
            await self.store()
        except StoreAwayError as error:
            if not self._away:
                log.warning("valuation: no snapshot is stored: %s", error)
            self._away = True

    async def store(self) -> None:
        """Stores what has changed since the last time; all of it, or none. Raises StoreAwayError."""
        started_ns = time.monotonic_ns()
        now_us = self._desk.clock.wall_us()
        next_row, last_hash, complete = self._place()
        cash, holdings = self._desk.own.state
        head = Head(next_row, last_hash, complete, cash, holdings)
        seen = self._desk.quotes.take_changed()
        clear, self.clear = self.clear, False
        if head == self._stored and not seen and not clear:
            return
        try:
            await self._desk.keeper.run(lambda store: _put(store, now_us, head, seen, clear))
        except BaseException:  # also when the service is asked to leave meanwhile
            self._desk.quotes.give_back(seen)
            self.clear |= clear
            raise
        self._away = False
        self._stored, self.at_us, self.symbols = head, now_us, len(seen)
        self._recorder.record(self._event, time.monotonic_ns() - started_ns)


def _put(store: ValuationStore, at_us: int, head: Head, seen: Sequence[Seen], clear: bool) -> None:
    """In the engine's thread: also making the bytes."""
    store.put_snapshot(at_us, _encode(head), {one.symbol: _encode(one) for one in seen}, clear=clear)


async def every(interval_ms: int, turn: Callable[[], Awaitable[None]]) -> None:
    """Calls `turn` on whole multiples of the interval; those that it takes too long for are left out."""
    interval_ns = interval_ms * NS_PER_MS
    while True:
        now_ns = time.monotonic_ns()
        await asyncio.sleep(((now_ns // interval_ns + 1) * interval_ns - now_ns) / 1e9)
        await turn()
