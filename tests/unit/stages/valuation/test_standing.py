"""A book that is brought up to date is worth what it is worth from scratch."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.schema import Trading
from pipeline.config.valuation import Valuation
from pipeline.messages import Candle
from pipeline.stages.valuation.standing import Standing
from pipeline.stages.valuation.texts import QuoteTexts
from pipeline.stages.valuation.wire import WorthOut
from pipeline.valuation.amounts import money_text
from pipeline.valuation.book import Book, Position, whole
from pipeline.valuation.nav import NoMarkError, worth
from pipeline.valuation.quotes import Quotes

SYMBOLS = "ABC"
MARKS = st.lists(st.tuples(st.sampled_from(SYMBOLS), st.integers(1, 10**9)), min_size=1, max_size=8)
POSITIONS = st.tuples(*[st.tuples(st.integers(-(10**9), 10**9), st.none() | st.integers())] * len(SYMBOLS))


@settings(deadline=None)
@given(st.lists(MARKS, min_size=1, max_size=6), POSITIONS, st.integers(), st.booleans())
def test_after_any_marks_it_is_what_valuing_from_scratch_gives(
    rounds: list[list[tuple[str, int]]], held: tuple[tuple[int, int | None], ...], cash: int, ensemble: bool
) -> None:
    texts = QuoteTexts()
    quotes = Quotes(Valuation(), Trading(), texts.prepare)
    positions = (Position(symbol, *one) for symbol, one in zip(SYMBOLS, held, strict=True))
    book = Book("desk", cash, tuple(positions))
    standing, time_us = Standing(book, ensemble, texts), 0
    for marks in rounds:
        for symbol, price in marks:
            time_us += 1
            quotes.candle(Candle(symbol, time_us, price, price, price, price, 1), time_us)
        try:
            expected = worth(book, quotes.by_symbol, ensemble=ensemble)
        except NoMarkError as error:
            try:
                list(standing.update(quotes.by_symbol, quotes.version))
            except NoMarkError as same:
                assert same.symbols == error.symbols
                continue
            raise AssertionError("it has a price where there is none") from None
        list(standing.update(quotes.by_symbol, quotes.version))
        told = msgspec.json.decode(b"".join(whole(standing.text(positions=True))), type=WorthOut)
        assert standing.nav == expected.nav
        assert (told.value, told.profit) == (money_text(expected.value), money_text(expected.profit))
        assert told.spread == (None if expected.spread is None else money_text(expected.spread))
        assert told.positions is not None
        for one, line in zip(told.positions, expected.lines, strict=True):
            assert one.price == line.quote.instrument.price_text(line.price)
            assert one.value == line.quote.instrument.money_text(line.value)
