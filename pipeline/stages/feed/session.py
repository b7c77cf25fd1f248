"""One client of the feed, from its greeting to its manifest."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pipeline import limits
from pipeline.clock import Clock
from pipeline.errors import RinglineError
from pipeline.stages.feed import frames
from pipeline.stages.feed.manifest import Account, Manifest, Wanted
from pipeline.stages.feed.readers import Readers
from pipeline.stages.feed.tail import Ready, Render, Tail, read_matching

log = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

BURST = 64
"""Rows sent before others have their turn."""


class _EndError(Exception):
    """Ends the session with a close code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Session:
    """Serves an accepted WebSocket: every row from `start` on that `wanted` lets pass, once and in order."""

    def __init__(
        self,
        name: str,
        start: int,
        wanted: Wanted,
        heartbeat_ms: int,
        stall_s: float,
        *,
        tail: Tail,
        readers: Readers,
        render: Render,
        clock: Clock,
        receive: Receive,
        send: Send,
    ) -> None:
        self._wall_us = clock.wall_us
        self._account = Account(name, clock.wall_us(), start, wanted)
        self._start = start
        self._wanted = wanted
        self._filter = wanted.filter
        self._heartbeat_s = heartbeat_ms / 1000
        self._stall_s = stall_s
        self._tail = tail
        self._readers = readers
        self._render = render
        self._receive = receive
        self._send = send
        self._name = name
        self._leaving = asyncio.Event()
        self._gone = False
        self._turn = asyncio.Lock()
        """One message at a time: a row and an answer may want to go at once."""

    def leave(self) -> None:
        """The server leaves: what is settled by now is still sent, then the manifest."""
        self._leaving.set()

    def progress(self) -> Manifest:
        """What was sent up to now."""
        return self._account.manifest()

    async def run(self) -> Manifest:
        """Until one side leaves; the manifest of what was sent."""
        code, reason = 1000, "the client left"
        listening = asyncio.create_task(self._listen())
        try:
            await self._say(
                frames.Hello(
                    session=self._name, start=self._start, head=self._tail.head, wanted=self._wanted,
                    heartbeat_ms=int(self._heartbeat_s * 1000), sent_us=self._wall_us(),
                )
            )  # fmt: skip
            await self._pump(listening)
        except _EndError as end:
            code, reason = end.code, end.reason
        except TimeoutError:
            self._gone, reason = True, f"the client took nothing for {self._stall_s:g} s"
        except OSError:
            self._gone = True
        except RinglineError as error:
            log.warning("feed: session %s: %s", self._name, error)
            code, reason = frames.UNREADABLE, "the audit cannot be read"
        finally:
            listening.cancel()
        manifest = self._account.manifest(self._wall_us(), reason)
        with contextlib.suppress(OSError, TimeoutError):
            await self._part(code, reason, manifest)
        return manifest

    @property
    def stalled(self) -> bool:
        """Whether the connection has to be cut, as nothing can be sent on it."""
        return self._gone

    # ---- rows

    async def _pump(self, listening: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + self._heartbeat_s
        while True:
            if listening.done():
                listening.result()
                return
            leaving = self._leaving.is_set()
            sent = await self._send_some()
            if sent or loop.time() >= beat_at:
                if not sent:
                    await self._beat()
                beat_at = loop.time() + self._heartbeat_s
            elif sent is None:
                if leaving:
                    raise _EndError(frames.LEAVING, "the server leaves")
                await self._wait(max(0.0, beat_at - loop.time()), listening)

    async def _send_some(self) -> int | None:
        """Sends what comes next; how many rows that were, None when there is nothing more for now."""
        seq = self._account.next - 1
        rows = self._tail.after(seq, BURST)
        if rows is None:
            rows, place = await self._from_store(seq)
        elif not rows:
            return None
        else:
            place = rows[-1].row.seq
            rows = [ready for ready in rows if self._filter.passes(ready.row)]
        for ready in rows:
            await self._send_row(ready)
        self._account.skip(place)
        await asyncio.sleep(0)
        return len(rows)

    async def _from_store(self, seq: int) -> tuple[list[Ready], int]:
        first = await self._readers.run(lambda reader: reader.first())
        if seq + 1 < first:
            raise _EndError(frames.PRUNED, f"rows before {first} were pruned; resume from {first}")
        rows, place = await self._readers.run(
            lambda reader: read_matching(reader, seq, self._filter, self._render)
        )
        if place == seq:  # the tail knows of more than this reader does: a moment later it will, too
            await asyncio.sleep(0.01)
        return rows, place

    async def _wait(self, timeout_s: float, listening: asyncio.Task[None]) -> None:
        """Until there is something to do."""
        news = asyncio.ensure_future(self._tail.wait(self._account.next - 1, timeout_s))
        leaving = asyncio.ensure_future(self._leaving.wait())
        try:
            await asyncio.wait((news, leaving, listening), return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            leaving.cancel()

    # ---- messages

    async def _send_row(self, ready: Ready) -> None:
        await self._out(frames.row_text(ready, self._wall_us()))
        self._account.add(ready.row)

    async def _beat(self) -> None:
        head = max(self._tail.head, self._account.next - 1)
        await self._say(frames.Heartbeat(next=self._account.next, head=head, sent_us=self._wall_us()))

    async def _say(self, message: frames.Hello | frames.Heartbeat | frames.Time | frames.Ended) -> None:
        await self._out(frames.text_of(message))

    async def _out(self, text: str) -> None:
        async with asyncio.timeout(self._stall_s), self._turn:
            await self._send({"type": "websocket.send", "text": text})

    async def _listen(self) -> None:
        """Answers what the client asks; ends when it leaves."""
        while True:
            message = await self._receive()
            received_us = self._wall_us()
            if message["type"] == "websocket.disconnect":
                raise ConnectionResetError
            said = frames.said(message)
            if isinstance(said, frames.Bye):
                return
            if said is None:
                raise _EndError(frames.BAD_MESSAGE, 'expected {"type":"time","asked_us":…} or {"type":"bye"}')
            answer = frames.Time(asked_us=said.asked_us, received_us=received_us, sent_us=self._wall_us())
            await self._say(answer)

    async def _part(self, code: int, reason: str, manifest: Manifest) -> None:
        """Manifest and close, where the client still takes something. The reason tells where to resume, as a
        client that is closed on may see no more than that."""
        if self._gone:
            return
        await self._say(frames.Ended(manifest=manifest, sent_us=self._wall_us()))
        text = f"{reason}; resume from {manifest.next}" if code != 1000 and "resume" not in reason else reason
        async with asyncio.timeout(self._stall_s):
            await self._send({"type": "websocket.close", "code": code, "reason": text})


assert BURST <= limits.FEED_PAGE_ROWS
