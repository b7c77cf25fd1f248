"""The collectors of all watched pods: one client each, begun and ended as pods come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import aiohttp

from pipeline.clock import Clock
from pipeline_operator.collectors.feed import Address, Feed

Wanted = Mapping[tuple[str, str], tuple[Address, tuple[str, ...]]]
"""(namespace, pod) → where, and the events whose sketches are wanted."""


class Feeds:
    """Use as an async context manager. `on_news(namespace, pod, breach)` at each snapshot and breach."""

    def __init__(self, clock: Clock, on_news: Callable[[str, str, bool], None]) -> None:
        self._clock = clock
        self._on_news = on_news
        self._feeds: dict[tuple[str, str], Feed] = {}
        self._session: aiohttp.ClientSession | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Feeds:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, use_dns_cache=False),
            headers={"Accept": "text/event-stream, application/json"},
            read_bufsize=1 << 16,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(feed.stop() for feed in self._feeds.values()), *self._ending)
        self._feeds.clear()
        if self._session is not None:
            await self._session.close()

    def __len__(self) -> int:
        return len(self._feeds)

    def of(self, namespace: str, pod: str) -> Feed | None:
        return self._feeds.get((namespace, pod))

    def all(self) -> tuple[Feed, ...]:
        return tuple(self._feeds.values())

    def set(self, wanted: Wanted) -> None:
        """Have exactly these; a feed whose address or wishes are unchanged goes on undisturbed."""
        assert self._session is not None, "Feeds is used as an async context manager"
        for key, feed in list(self._feeds.items()):
            if wanted.get(key) != (feed.address, feed.sketches):
                self._end(self._feeds.pop(key))
        for key, (address, sketches) in wanted.items():
            if key not in self._feeds:
                self._feeds[key] = Feed(address, self._session, self._clock, self._heard, sketches)
                self._feeds[key].start()

    def _heard(self, feed: Feed, breach: bool) -> None:
        self._on_news(feed.address.namespace, feed.address.pod, breach)

    def _end(self, feed: Feed) -> None:
        task = asyncio.create_task(feed.stop())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
