"""What is answered about domains, marks and recorded values, as structs of `wire`."""

from __future__ import annotations

from pipeline.errors import InvalidEventError
from pipeline.messages import Candle
from pipeline.stages.gateway.problem import Problem
from pipeline.stages.story import utc
from pipeline.stages.valuation import wire
from pipeline.stages.valuation.desk import Desk
from pipeline.stages.valuation.loops import read_point
from pipeline.stages.valuation.refusal import RefusedError
from pipeline.stages.valuation.turn import Turn
from pipeline.trading.decimals import decimal_text
from pipeline.valuation.amounts import money_text
from pipeline.valuation.book import Book, cash_text, position_texts
from pipeline.valuation.ensemble import CONFIDENCE_SCALE
from pipeline.valuation.quotes import Quote

MARKS_A_PAGE = 500


def domain_out(desk: Desk, book: Book) -> wire.DomainOut:
    instruments = desk.instruments
    return wire.DomainOut(
        domain=book.name,
        version=book.version,
        own=book.name == desk.own_name,
        cash=cash_text(book),
        positions=tuple(
            wire.HeldOut(**position_texts(position, instruments.of(position.symbol)))
            for position in book.positions
        ),
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


def marks_out(desk: Desk, after: str) -> wire.MarksOut:
    """`MARKS_A_PAGE` of them at most."""
    symbols = desk.quotes.symbols_after(after, MARKS_A_PAGE + 1)
    shown = symbols[:MARKS_A_PAGE]
    more = shown[-1] if len(symbols) > len(shown) else None
    return wire.MarksOut(tuple(mark_out(desk.quotes.by_symbol[symbol]) for symbol in shown), more)


async def navs_out(desk: Desk, name: str, since_us: int, until_us: int, limit: int) -> wire.NavsOut:
    """Raises RefusedError and StoreAwayError."""
    desk.book(name)
    rows = await desk.keeper.run(lambda store: store.nav(name, since_us, until_us, limit))
    values = []
    for row in rows:
        point = read_point(row.body)
        values.append(
            wire.NavOut(
                at=utc(row.at_us),
                nav=money_text(int(point.nav)),
                ensemble=money_text(int(point.ensemble)) if point.ensemble else None,
                spread=money_text(int(point.spread)) if point.spread else None,
            )
        )
    more = utc(rows[-1].at_us + 1) if len(rows) == limit else None
    return wire.NavsOut(name, tuple(values), more)


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
