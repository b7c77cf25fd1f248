"""Server-sent events: the newest snapshot every half second or as often as wished, a new breach at once.

A client that reads slowly misses snapshots, never breaches (of which the newest BREACHES_KEPT wait), and
never holds anybody else up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from pipeline import limits

BREACHES_KEPT = 64


class Wish(NamedTuple):
    """What a client wants to be told."""

    sketches: frozenset[str] = frozenset()
    """The events whose buckets it wants."""
    events: frozenset[str] = frozenset()
    """Only their latencies; all when there are none."""
    brief: bool = False
    """Without latencies. With `events`: but for one a second, with theirs."""
    counts_s: frozenset[int] = frozenset()
    """Only counts over these windows; over all when there are none."""
    every_ms: int = limits.STREAM_MS


class Subscriber:
    """One client of the stream."""

    __slots__ = ("_breaches", "_ended", "_snapshot", "_wake", "wish")

    def __init__(self, wish: Wish = Wish()) -> None:  # noqa: B008 - a tuple
        self.wish = wish
        self._wake = asyncio.Event()
        self._snapshot: bytes | None = None
        self._breaches: deque[bytes] = deque(maxlen=BREACHES_KEPT)
        self._ended = False

    def give(self, *, snapshot: bytes | None = None, breach: bytes | None = None) -> None:
        """Something new to send."""
        if breach is not None:
            self._breaches.append(breach)
        if snapshot is not None:
            self._snapshot = snapshot
        self._wake.set()

    def end(self) -> None:
        """The client has left, or the server leaves."""
        self._ended = True
        self._wake.set()

    async def next(self) -> bytes | None:
        """The next bytes to send; None at the end."""
        await self._wake.wait()
        self._wake.clear()
        if self._ended:
            self._wake.set()
            return None
        frames = [frame("breach", breach) for breach in self._breaches]
        self._breaches.clear()
        if self._snapshot is not None:
            frames.append(frame("snapshot", self._snapshot))
            self._snapshot = None
        return b"".join(frames)


class Hub:
    """All clients of the stream."""

    def __init__(self) -> None:
        self._subscribers: set[Subscriber] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._subscribers)

    def wishes(self) -> set[Wish]:
        """What its clients want. Any thread may ask: a copy is looked through, as clients come and go on
        another."""
        return {subscriber.wish for subscriber in tuple(self._subscribers)}

    def join(self, wish: Wish = Wish()) -> Subscriber | None:  # noqa: B008 - a tuple
        """A new client; None when there are too many or the server is leaving."""
        if self._closed or len(self._subscribers) >= limits.MAX_STREAMS:
            return None
        subscriber = Subscriber(wish)
        self._subscribers.add(subscriber)
        return subscriber

    def leave(self, subscriber: Subscriber) -> None:
        self._subscribers.discard(subscriber)

    def give(
        self,
        *,
        snapshot: bytes | None = None,
        breach: bytes | None = None,
        wish: Wish | None = None,
    ) -> None:
        """Something new for everybody, or for those with this wish; JSON in one line."""
        for subscriber in self._subscribers:
            if wish is None or subscriber.wish == wish:
                subscriber.give(snapshot=snapshot, breach=breach)

    def close(self) -> None:
        """End every stream and take no more."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.end()


def frame(event: str, data: bytes) -> bytes:
    """One server-sent event (HTML standard, 9.2). `data` is one line."""
    return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"
