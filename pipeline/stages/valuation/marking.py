"""Marks as they come: priced first, however long that takes, and then known, all of one post at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from pipeline import valuation_limits
from pipeline.messages import Candle
from pipeline.stages.valuation.model_process import ModelProcess
from pipeline.stages.valuation.turn import Turn
from pipeline.valuation.quotes import Quote, Quotes, Seen

_TOGETHER = valuation_limits.VALUATION_FEED_ROWS
"""Symbols about which users' models are asked at one time."""
Room = Callable[[Iterable[str]], None]


def _any(_: Iterable[str]) -> None:
    pass


class Marking:
    """One post at a time, in the order in which they come. `room` raises when there is none for these symbols
    beside those that are known."""

    def __init__(self, quotes: Quotes, users: ModelProcess) -> None:
        self._quotes = quotes
        self._users = users
        self._one = asyncio.Lock()

    async def candles(self, candles: Sequence[Candle], received_us: int, room: Room = _any) -> int:
        """How many of them count. Raises what `room` does; then nothing has changed."""
        async with self._one:
            room(candle.symbol for candle in candles)
            seen, taken = self._quotes.after_candles(candles, received_us)
            self._quotes.keep(await self._priced(seen))
            return taken

    async def mark(self, symbol: str, price: int, time_us: int, received_us: int, room: Room = _any) -> None:
        """Raises InvalidEventError when a later one is known, and what `room` does."""
        async with self._one:
            room([symbol])
            seen = self._quotes.after_mark(symbol, price, time_us, received_us)
            self._quotes.keep(await self._priced([seen]))

    async def restore(self, seen: Iterable[Seen]) -> None:
        """What a snapshot remembered."""
        async with self._one:
            kept = [self._quotes.kept_before(one) for one in seen]
            self._quotes.keep(await self._priced(kept), changed=False)

    async def forget(self) -> None:
        """The audit that marks came from is another one."""
        async with self._one:
            self._quotes.forget()

    async def _priced(self, seen: Sequence[Seen]) -> list[Quote]:
        made, turn = [], Turn()
        for first in range(0, len(seen), _TOGETHER):
            some = seen[first : first + _TOGETHER]
            for one, users in zip(some, await self._users.ask(some), strict=True):
                made.append(self._quotes.priced(one, users))
                await turn.end()
        return made
