"""What is answered about domains, marks and recorded values; long lists of them in slices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from pipeline import valuation_limits
from pipeline.errors import InvalidEventError
from pipeline.messages import Candle
from pipeline.stages.gateway.problem import Problem
from pipeline.stages.story import utc
from pipeline.stages.valuation import wire
from pipeline.stages.valuation.desk import Desk
from pipeline.stages.valuation.loops import read_point
from pipeline.stages.valuation.refusal import RefusedError
from pipeline.stages.valuation.turn import Turn
from pipeline.storage.valuation.store import NavRow
from pipeline.trading.decimals import decimal_text
from pipeline.valuation.amounts import money_text
from pipeline.valuation.book import Book, Position, cash_text, position_texts
from pipeline.valuation.ensemble import CONFIDENCE_SCALE
from pipeline.valuation.quotes import Quote

Item = TypeVar("Item")
MARKS_A_PAGE = 500
_encode = msgspec.json.Encoder().encode


async def domain_text(desk: Desk, book: Book) -> bytes:
    """A `wire.DomainOut`."""

    def held(position: Position) -> wire.HeldOut:
        return wire.HeldOut(**position_texts(position, desk.instruments.of(position.symbol)))

    own = book.name == desk.own_name
    return await _filled(
        wire.DomainOut(book.name, book.version, own, cash_text(book), ()), book.positions, held
    )


def domains_out(desk: Desk) -> wire.DomainsOut:
    return wire.DomainsOut(
        tuple(
            wire.DomainLine(book.name, book.version, book.name == desk.own_name, len(book.positions))
            for book in desk.books()
        )
    )


def mark_out(quote: Quote) -> wire.MarkOut:
    text = quote.instrument.price_text
    agreed = quote.agreed
    confidence = None if agreed is None else decimal_text(agreed.confidence, CONFIDENCE_SCALE)
    return wire.MarkOut(
        symbol=quote.seen.symbol,
        mark=text(quote.mark.price),
        time=utc(quote.mark.time_us),
        received=utc(quote.mark.received_us),
        source=quote.mark.source,
        bars=len(quote.seen.bars),
        price=None if quote.plain is None else text(quote.plain),
        ensemble=None if agreed is None else text(agreed.price),
        spread=None if agreed is None else text(agreed.spread),
        low=None if agreed is None else text(agreed.low),
        high=None if agreed is None else text(agreed.high),
        confidence=confidence,
        models=tuple(
            wire.AnswerOut(one.model, None if one.price is None else text(one.price), one.fault)
            for one in quote.answers
        ),
    )


def one_mark(desk: Desk, symbol: str) -> wire.MarkOut:
    """Raises RefusedError."""
    quote = desk.quotes.by_symbol.get(symbol)
    if quote is not None:
        return mark_out(quote)
    if symbol in desk.instruments.named:
        raise RefusedError(Problem.NO_MARK, f"symbol: {symbol} was never marked", "symbol")
    raise RefusedError(Problem.UNKNOWN_SYMBOL, f"symbol: nothing is known of {symbol[:64]!r}", "symbol")


async def marks_text(desk: Desk, after: str) -> bytes:
    """A `wire.MarksOut`, with `MARKS_A_PAGE` of them at most."""
    symbols = desk.quotes.symbols_after(after, MARKS_A_PAGE + 1)
    shown = symbols[:MARKS_A_PAGE]
    more = shown[-1] if len(symbols) > len(shown) else None
    quotes = [desk.quotes.by_symbol[symbol] for symbol in shown]
    return await _filled(wire.MarksOut((), more), quotes, mark_out)


async def navs_text(desk: Desk, name: str, since_us: int, until_us: int, limit: int) -> bytes:
    """A `wire.NavsOut`. Raises RefusedError and StoreAwayError."""
    desk.book(name)
    rows = await desk.keeper.run(lambda store: store.nav(name, since_us, until_us, limit))
    more = utc(rows[-1].at_us + 1) if len(rows) == limit else None
    return await _filled(wire.NavsOut(name, (), more), rows, nav_out)


def nav_out(row: NavRow) -> wire.NavOut:
    point = read_point(row.body)
    return wire.NavOut(
        at=utc(row.at_us),
        nav=money_text(int(point.nav)),
        ensemble=money_text(int(point.ensemble)) if point.ensemble else None,
        spread=money_text(int(point.spread)) if point.spread else None,
    )


async def _filled(empty: Struct, items: Sequence[Item], told: Callable[[Item], Struct]) -> bytes:
    """The text of `empty` with what is told of all items in its one list, which is empty: made in slices, so
    that a loop turns."""
    pieces, size = [], valuation_limits.VALUATION_TEXT_SLICE
    for first in range(0, len(items), size):
        pieces.append(_encode([told(item) for item in items[first : first + size]])[1:-1])
        await asyncio.sleep(0)
    return _encode(empty).replace(b":[]", b":[" + b",".join(pieces) + b"]", 1)


async def take_candles(desk: Desk, posted: wire.CandlesIn) -> wire.TakenOut:
    """All are checked before any is taken. Raises RefusedError and InvalidEventError."""
    candles: list[Candle] = []
    turn = Turn()
    for index, one in enumerate(posted.candles):
        try:
            candle = desk.instruments.inside(one)
        except InvalidEventError as error:
            raise InvalidEventError(f"candles[{index}].{error.field}", error.detail) from None
        assert isinstance(candle, Candle)
        desk.not_ahead(f"candles[{index}].time", candle.time_us)
        candles.append(candle)
        await turn.end()
    taken = await desk.marking.candles(candles, desk.clock.wall_us(), desk.room_for)
    return wire.TakenOut(taken, len(candles) - taken)
