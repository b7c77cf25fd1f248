"""Takes marks and fills from the audit's feed, row by row, and goes on from where it was."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from pipeline import valuation_limits
from pipeline.errors import InvalidEventError
from pipeline.messages import BUY, SELL, Candle, Fill
from pipeline.stages.valuation.desk import Desk
from pipeline.stages.valuation.turn import Turn
from pipeline.trading.decimals import scaled
from pipeline.trading.instruments import Instrument, microseconds

log = logging.getLogger(__name__)

_CONFLICT, _GONE = 409, 410


class _Fill(Struct):
    strategy: str
    side: str
    quantity: str
    price: str
    commission: str


class _Row(Struct):
    key: str
    accepted: str
    fate: str = ""
    rejected: str = ""
    event: dict[str, str] = {}
    fills: tuple[_Fill, ...] = ()


class _Message(Struct):
    """Of whatever type; what is not looked at is not decoded."""

    type: str
    seq: int = 0
    start: int = 0
    head: int = 0
    hash: str = ""
    row: _Row | None = None


_decode = msgspec.json.Decoder(_Message).decode


class Listener:
    """`next_row`, `last_hash` and `complete` tell where it is. `on_reset`: the audit was another one, and all
    that came from it is forgotten."""

    def __init__(self, desk: Desk, url: str, token: str, on_reset: Callable[[], Awaitable[None]]) -> None:
        self._desk = desk
        self._url = url
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._on_reset = on_reset
        self.next_row = 1
        self.last_hash = ""
        self.complete = True
        self.head: int | None = None
        self.state = "connecting"
        self._goal: int | None = None
        """The last row that was settled when the feed was reached; None while it is not."""
        self._caught_up = False
        """Whether all rows up to there were taken since."""

    @property
    def behind(self) -> int | None:
        """Rows that are known to be settled and were not taken yet; None before the feed has told."""
        return None if self.head is None else max(0, self.head - self.next_row + 1)

    @property
    def doubt(self) -> str:
        """Why the own book is not what the pipeline holds; "" where it is, but for the rows of a moment."""
        behind = self.behind
        if self._goal is None or behind is None:
            return "the feed is not reached"
        if self._caught_up and behind <= valuation_limits.MAX_VALUATION_BEHIND_ROWS:
            return ""
        return f"{behind:,} settled rows are not taken yet"

    @property
    def place(self) -> tuple[int, str, bool]:
        return self.next_row, self.last_hash, self.complete

    def resume(self, next_row: int, last_hash: str, complete: bool) -> None:
        self.next_row, self.last_hash, self.complete = next_row, last_hash, complete

    async def run(self) -> None:
        """Until it is cancelled."""
        pause_ms = valuation_limits.VALUATION_FEED_PAUSE_MIN_MS
        while True:
            before = self.next_row
            try:
                await self._session()
            except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError, msgspec.MsgspecError) as error:
                self._say(f"away: {' '.join(str(error).split()) or type(error).__name__}")
            if self.next_row > before:
                pause_ms = valuation_limits.VALUATION_FEED_PAUSE_MIN_MS
            await asyncio.sleep(pause_ms / 1000)
            pause_ms = min(2 * pause_ms, valuation_limits.VALUATION_FEED_PAUSE_MAX_MS)

    async def _session(self) -> None:
        wanted: dict[str, object] = {}
        if self.complete or self.last_hash:
            wanted["from"] = self.next_row
            if self.last_hash:
                wanted["after_hash"] = self.last_hash
        try:
            connection = await self._dial(wanted)
        except InvalidStatus as error:
            await self._refused(error.response.status_code)
            return
        try:
            async with connection:
                await self._listen(connection)
        finally:
            self._goal, self._caught_up = None, False

    async def _dial(self, wanted: dict[str, object]) -> ClientConnection:
        return await connect(
            f"{self._url}/v1/feed?{urlencode(wanted)}", additional_headers=self._headers, compression=None,
            max_size=valuation_limits.MAX_VALUATION_FEED_BYTES,
            open_timeout=valuation_limits.VALUATION_STORE_S, proxy=None,
        )  # fmt: skip

    async def _refused(self, status: int) -> None:
        if status == _CONFLICT:
            log.error("valuation: the audit is not the one that was read to row %d: read anew", self.next_row)
            self.next_row, self.last_hash, self.complete, self.head = 1, "", True, None
            await self._on_reset()
        elif status == _GONE:
            log.error("valuation: rows from %d on were pruned: the own book is incomplete", self.next_row)
            self.complete, self.last_hash = False, ""
        self._say(f"refused with {status}")

    async def _listen(self, connection: ClientConnection) -> None:
        turn = Turn()
        async for text in connection:
            if await self.hear(text):
                await turn.end()

    async def hear(self, text: str | bytes) -> bool:
        """Takes a message of the feed; whether it was a row. Raises msgspec.MsgspecError for nonsense."""
        message = _decode(text)
        if message.type == "row" and message.row is not None:
            await self._row(message.seq, message.hash, message.row)
        elif message.type == "hello":
            self.next_row, self._goal, self._caught_up = message.start, message.head, False
            self.state = "live"
        self._note(message)
        return message.row is not None

    def _note(self, message: _Message) -> None:
        self.head = max(self.head or 0, message.head, message.seq)
        self._caught_up |= self._goal is not None and self.next_row > self._goal

    async def _row(self, seq: int, row_hash: str, row: _Row) -> None:
        try:
            await self._take(row)
        except InvalidEventError as error:  # written under another configuration's decimals
            self.complete = False
            log.error("valuation: row %d of the audit: %s", seq, error)
        self.next_row, self.last_hash = seq + 1, row_hash

    async def _take(self, row: _Row) -> None:
        """The mark first: a row that is cut off there is taken again, and its fills have to count once."""
        instrument = self._desk.instruments.of(row.key)
        fills = [_fill(fill, instrument) for fill in row.fills]
        if row.event.get("type") == "candle" and row.fate == "live" and not row.rejected:
            received_us = microseconds("accepted", row.accepted)
            await self._desk.marking.candles([_candle(row.key, row.event, instrument)], received_us)
        for fill in fills:
            self._desk.own.add(row.key, fill)

    def _say(self, state: str) -> None:
        if state != self.state:
            log.warning("valuation: feed %s: %s", self._url, state)
        self.state = state


def _candle(symbol: str, event: dict[str, str], instrument: Instrument) -> Candle:
    opened, high, low, close = (
        scaled(name, event[name], instrument.price_scale) for name in ("open", "high", "low", "close")
    )
    volume = scaled("volume", event["volume"], instrument.quantity_scale)
    return Candle(symbol, microseconds("time", event["time"]), opened, high, low, close, volume)


def _fill(told: _Fill, instrument: Instrument) -> Fill:
    return Fill(
        0, 0, told.strategy, BUY if told.side == "buy" else SELL,
        scaled("quantity", told.quantity, instrument.quantity_scale),
        scaled("price", told.price, instrument.price_scale),
        _money(told.commission, instrument.money_scale), 0, 0, "",
    )  # fmt: skip


def _money(text: str, scale: int) -> int:
    """Exact, and without the bound of prices: the audit has judged it."""
    whole, _, decimals = text.partition(".")
    return int(whole + decimals.ljust(scale, "0"))
