"""Everybody who looks at the page: each gets the frames and books made from then on, and every point once.

A viewer that reads slowly misses frames, never points, and holds nobody else up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import msgspec

from pipeline import limits
from pipeline.web.history import History, Place
from pipeline.web.view import Point

_encode = msgspec.json.Encoder().encode
NAMES = ("book", "steps", "frame")
"""What is sent, in this order; the frame last, as it says how old all is."""


class Viewer:
    """One stream. `seen` is the last point of this server that it has."""

    __slots__ = ("_ended", "_news", "_wake", "seen")

    def __init__(self, seen: int) -> None:
        self.seen = seen
        self._wake = asyncio.Event()
        self._news: dict[str, bytes] = {}
        self._ended = False

    def give(self, news: Mapping[str, bytes]) -> None:
        """The newest of each kind, by its name."""
        self._news.update(news)
        self._wake.set()

    def end(self) -> None:
        self._ended = True
        self._wake.set()

    async def next(self, history: History) -> bytes | None:
        """What to send next; None at the end."""
        await self._wake.wait()
        self._wake.clear()
        if self._ended:
            self._wake.set()
            return None
        parts = []
        if points := history.after(self.seen):
            self.seen = points[-1].number
            parts.append(event("points", _encode(points), Place(history.epoch, self.seen)))
        parts += [event(name, self._news[name]) for name in NAMES if name in self._news]
        self._news.clear()
        return b"".join(parts)


class Viewers:
    """All of them. Only points are kept for those who come: a frame or a book of whenever somebody looked
    last would be shown as one of now. Both are made for a newcomer at once."""

    def __init__(self) -> None:
        self.history = History()
        self.first = asyncio.Event()
        """Set while anybody looks."""
        self.came = asyncio.Event()
        """Set by each who comes; whoever waits for it clears it."""
        self._all: set[Viewer] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._all)

    def join(self, place: Place) -> Viewer | None:
        """A viewer who has the points up to `place`; None when there are too many, or the server leaves."""
        if self._closed or len(self._all) >= limits.MAX_VIEWERS:
            return None
        viewer = Viewer(self.history.seen(place))
        self._all.add(viewer)
        self.first.set()
        self.came.set()
        if self.history.after(viewer.seen):
            viewer.give({})
        return viewer

    def all(self) -> frozenset[Viewer]:
        """Who looks now."""
        return frozenset(self._all)

    def leave(self, viewer: Viewer) -> None:
        self._all.discard(viewer)
        if not self._all:
            self.first.clear()

    def give(self, point: Point | None = None, **news: bytes) -> None:
        """Something new for everybody, by the names in `NAMES`."""
        if point is not None:
            self.history.add(point)
        self.give_to(self._all, **news)

    def give_to(self, some: Collection[Viewer], /, **news: bytes) -> None:
        """Something new for those of `some` who still look."""
        for viewer in self._all.intersection(some):
            viewer.give(news)

    def close(self) -> None:
        self._closed = True
        for viewer in self._all:
            viewer.end()


def event(name: str, data: bytes, place: Place | None = None) -> bytes:
    """One server-sent event (HTML standard, 9.2); `data` is one line."""
    head = b"" if place is None else f"id: {place}\n".encode()
    return head + b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
