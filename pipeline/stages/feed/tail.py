"""The newest rows, read once and made ready once for all clients.

Nothing is queued for anybody: a client asks for what comes after the last row it sent. Who is within the tail
gets it from here, who is further behind reads from the store, so there is no joint at which a row could be
missed or doubled, and a slow client costs no memory. While nobody listens nothing is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from pipeline import limits
from pipeline.errors import RinglineError
from pipeline.stages.feed.readers import Readers
from pipeline.storage.audit.query import Filter, Query
from pipeline.storage.audit.reader import AuditReader
from pipeline.storage.audit.rows import AuditRow

log = logging.getLogger(__name__)

RETRY_S = 1.0
"""An audit that is away is asked for again after this long."""


Render = Callable[[AuditRow], str]


class Ready:
    """A row, and its JSON as it goes to every client: made once, and not before somebody wants it."""

    __slots__ = ("_render", "_text", "row")

    def __init__(self, row: AuditRow, render: Render) -> None:
        self.row = row
        self._render = render
        self._text = ""

    @property
    def text(self) -> str:
        if not self._text:
            self._text = self._render(self.row)
        return self._text


class Listener(NamedTuple):
    """What a client listens for."""

    wanted: Filter = Filter()
    delay_ms: int = 0
    """Rows may wait so long for others, to be read and told together."""


def _nobody(listening: bool) -> None:
    """Nobody needs to know."""
    del listening


class Tail:
    """`run` it on the event loop. `nudged` is set by whoever knows that there is something new."""

    def __init__(
        self, readers: Readers, render: Render, poll_s: float, on_listeners: Callable[[bool], None] = _nobody
    ) -> None:
        """`on_listeners(True)` when somebody begins to listen, `on_listeners(False)` when nobody does any
        more."""
        self._on_listeners = on_listeners
        self._readers = readers
        self._render = render
        self._poll_s = poll_s
        self._rows: deque[Ready] = deque()
        self._last = 0
        self._listeners: list[Listener] = []
        self._joined = asyncio.Event()
        self._wanted = asyncio.Event()
        self._news = asyncio.Event()
        self.nudged = asyncio.Event()
        self.fault = ""
        """Why the audit cannot be read; empty while it can."""

    @property
    def head(self) -> int:
        """The last row known of."""
        return self._last

    async def join(self, listener: Listener) -> None:
        """Returns once the tail follows the audit. Raises RinglineError when it cannot."""
        if not self._listeners:
            head = (await self._readers.run(AuditReader.head, first=True)).seq
            if not self._listeners:  # nobody else has done it meanwhile
                self._rows.clear()
                self._last = head
                self._on_listeners(True)
        self._listeners.append(listener)
        self._joined.set()
        self._wanted.set()

    def leave(self, listener: Listener) -> None:
        self._listeners.remove(listener)
        if not self._listeners:
            self._wanted.clear()
            self._on_listeners(False)

    def after(self, seq: int, most: int) -> list[Ready] | None:
        """Up to `most` rows after row `seq`; None when they have to be read from the store."""
        if seq >= self._last:
            return []
        if not self._rows or seq + 1 < self._rows[0].row.seq:
            return None
        start = seq + 1 - self._rows[0].row.seq
        return [self._rows[index] for index in range(start, min(start + most, len(self._rows)))]

    async def wait(self, seq: int, timeout_s: float) -> None:
        """Until there is a row after `seq`, or the time is over."""
        if self._last > seq:
            return
        try:
            async with asyncio.timeout(timeout_s):
                while self._last <= seq:
                    await self._news.wait()
        except TimeoutError:
            return

    async def run(self) -> None:
        """Follows the audit for as long as anybody listens; cancel it to end it."""
        while True:
            await self._wanted.wait()
            try:
                more = await self._fetch()
                self.fault = ""
            except RinglineError as error:
                if str(error) != self.fault:
                    log.warning("feed: %s", error)
                self.fault = str(error)
                await asyncio.sleep(RETRY_S)
                continue
            if not more:
                await self._gather()
                await self._sleep()

    async def _gather(self) -> None:
        """What comes while everybody can wait is read together: no nudge is heard meanwhile."""
        delay_ms = min((listener.delay_ms for listener in self._listeners), default=0)
        if not delay_ms:
            return
        self._on_listeners(False)
        self._joined.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_ms / 1000):
                await self._joined.wait()
        if self._listeners:
            self._on_listeners(True)

    async def _sleep(self) -> None:
        """Until somebody knows of something new, or it is time to look."""
        try:
            async with asyncio.timeout(self._poll_s):
                await self.nudged.wait()
        except TimeoutError:
            pass
        self.nudged.clear()

    async def _fetch(self) -> bool:
        """Takes in what is new; whether there may be more at once."""
        last = self._last
        wanted = {listener.wanted for listener in self._listeners}
        fresh = await self._readers.run(
            lambda reader: read_after(reader, last, self._render, wanted), first=True
        )
        if last != self._last:  # it was set anew by a first listener meanwhile
            return True
        for ready in fresh:
            if ready.row.seq != self._last + 1:  # rows were pruned between: what is before cannot be served
                self._rows.clear()
            self._rows.append(ready)
            self._last = ready.row.seq
        while len(self._rows) > limits.FEED_TAIL_ROWS:
            self._rows.popleft()
        if fresh:
            self._news.set()
            self._news.clear()
        return len(fresh) == limits.FEED_PAGE_ROWS


def read_after(reader: AuditReader, seq: int, render: Render, wanted: Iterable[Filter]) -> list[Ready]:
    """The next rows of the chain after `seq`, a page at most. What somebody wants is made here, on the
    reader's thread; the rest when a later client asks for it."""
    found = [Ready(row, render) for row in reader.rows(after=seq, limit=limits.FEED_PAGE_ROWS)]
    _make([ready for ready in found if any(one.passes(ready.row) for one in wanted)])
    return found


def read_matching(reader: AuditReader, seq: int, wanted: Filter, render: Render) -> tuple[list[Ready], int]:
    """The next rows after `seq` that `wanted` lets pass, a page at most, and up to which row was looked."""
    found = reader.find(Query(wanted, by_seq=True), seq, limits.FEED_PAGE_ROWS)
    return _make([Ready(row, render) for row in found.rows]), found.place


def _make(rows: list[Ready]) -> list[Ready]:
    for ready in rows:
        _ = ready.text
    return rows
