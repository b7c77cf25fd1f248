"""Quotes, books and what they are worth."""

from __future__ import annotations

import gc
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import schema
from pipeline.config.valuation import Model, Valuation
from pipeline.errors import InvalidEventError
from pipeline.messages import BUY, SELL, Candle, Fill
from pipeline.trading.instruments import Instruments
from pipeline.valuation.amounts import MONEY_SCALE, money_text
from pipeline.valuation.book import PositionIn, book_of, cash_text, position_texts, whole, with_position
from pipeline.valuation.nav import NoMarkError, StaleMarkError, in_slices, worth
from pipeline.valuation.own_book import OwnBook
from pipeline.valuation.quotes import POSTED, Quotes

TRADING = schema.Trading(
    instruments={
        "default": schema.Instrument(),
        "BTC": schema.Instrument(price_scale=2, quantity_scale=8, tick="0.01", lot="0.00000001"),
    }
)
INSTRUMENTS = Instruments(TRADING)


def quotes(**settings: object) -> Quotes:
    return Quotes(Valuation(**settings), TRADING)  # type: ignore[arg-type]


def candle(symbol: str, day: int, close: int, volume: int = 1) -> Candle:
    return Candle(symbol, day, close, close + 30, close - 30, close, volume)


def test_a_mark_is_priced_when_it_comes() -> None:
    known = quotes()
    assert known.candle(candle("AAPL", 1, 1000), 7)
    assert known.candle(candle("AAPL", 2, 1300), 8)
    quote = known.by_symbol["AAPL"]
    assert (quote.plain, quote.mark.received_us) == (1300, 8)
    assert {answer.model: answer.price for answer in quote.answers} == {
        "ewma": 1150, "last": 1300, "median": 1150, "typical": 1300, "vwap": 1150,
    }  # fmt: skip
    assert quote.agreed is not None
    assert quote.agreed.price == 1150


def test_a_candle_that_comes_too_late_changes_nothing() -> None:
    known = quotes()
    known.candle(candle("AAPL", 5, 1000), 1)
    assert not known.candle(candle("AAPL", 5, 2000), 2)
    assert not known.candle(candle("AAPL", 4, 2000), 2)
    assert known.by_symbol["AAPL"].plain == 1000


def test_a_posted_mark_stands_until_a_later_candle() -> None:
    known = quotes()
    known.candle(candle("AAPL", 5, 1000), 1)
    known.post("AAPL", 1500, 8, 2)
    assert known.by_symbol["AAPL"].plain == 1500
    assert known.by_symbol["AAPL"].mark.source == POSTED
    known.candle(candle("AAPL", 7, 1100), 3)
    assert known.by_symbol["AAPL"].plain == 1500
    known.candle(candle("AAPL", 9, 1200), 4)
    assert known.by_symbol["AAPL"].plain == 1200
    with pytest.raises(InvalidEventError, match="later mark"):
        known.post("AAPL", 1500, 8, 5)


CLOSES = st.lists(st.tuples(st.integers(31, 10**9), st.integers(0, 10**6)), min_size=1, max_size=12)


@settings(deadline=None)
@given(CLOSES, st.integers(1, 10**9))
def test_a_posted_mark_moves_what_the_models_price_from(closes: list[tuple[int, int]], posted: int) -> None:
    known, as_candles = quotes(), quotes()
    for day, (close, volume) in enumerate(closes):
        known.candle(candle("A", day, close, volume), day)
        as_candles.candle(candle("A", day, close, volume), day)
    known.post("A", posted, len(closes), len(closes))
    point = Candle("A", len(closes), posted, posted, posted, posted, max(1, closes[-1][1]))
    as_candles.candle(point, len(closes))
    quote = known.by_symbol["A"]
    assert quote.answers == as_candles.by_symbol["A"].answers, "a mark counts as a candle of its own"
    assert quote.seen.bars == known.by_symbol["A"].seen.bars[: len(closes)], "and is none"
    told = {answer.model: answer.price for answer in quote.answers}
    agreed = quote.agreed
    assert agreed is not None
    assert told["ewma"] is not None
    assert abs(agreed.price - posted) <= abs(told["ewma"] - posted), "the median goes with it"
    assert agreed.spread >= abs(agreed.price - posted)
    if max(agreed.price, posted) >= 2 * min(agreed.price, posted):
        assert agreed.confidence <= 6667, "a price that is far from a fresh mark is none to rely on"


def test_a_mark_without_bars_is_no_history() -> None:
    known = quotes()
    known.post("A", 500, 1, 1)
    quote = known.by_symbol["A"]
    assert [answer.price for answer in quote.answers] == [None, 500, None, None, None]
    assert quote.agreed is not None
    assert quote.agreed.confidence == 2000, "one of five"


@pytest.mark.parametrize("most", [1, 2, 5])
def test_as_many_bars_are_kept_as_configured(most: int) -> None:
    known = quotes(history_bars=most)
    for day in range(1, 9):
        known.candle(candle("AAPL", day, 1000 + day), day)
    assert [bar.time_us for bar in known.by_symbol["AAPL"].seen.bars] == list(range(9 - most, 9))


def test_what_was_remembered_gives_the_same_prices() -> None:
    before, after = quotes(), quotes()
    for day in range(1, 20):
        before.candle(candle("AAPL", day, 1000 + 17 * day % 23), day)
    before.post("MSFT", 500, 1, 1)
    taken = before.take_changed()
    assert not before.take_changed()
    before.give_back(taken)
    after.restore(before.take_changed())
    assert after.by_symbol == before.by_symbol
    assert not after.take_changed()


def test_a_book_is_worth_its_cash_and_positions_exactly() -> None:
    known = quotes()
    known.post("BTC", 6_543_210, 10, 10)
    known.post("AAPL", 1_012_345, 20, 20)
    posted = [PositionIn("BTC", "-0.12345678"), PositionIn("AAPL", "100", "9000")]
    found = worth(book_of("desk", "1000.5", posted, INSTRUMENTS), known.by_symbol, ensemble=False)
    exact = Fraction("1000.5") + Fraction("101.2345") * 100 - Fraction("65432.10") * Fraction("0.12345678")
    assert Fraction(found.nav, 10**MONEY_SCALE) == exact
    assert money_text(found.profit) == "1123.45"
    assert found.oldest_us == 10
    assert found.spread is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(-(10**6), 10**6)), max_size=20))
def test_worth_is_linear(holdings: list[tuple[int, int]]) -> None:
    known = quotes()
    posted = []
    for number, (price, quantity) in enumerate(holdings):
        known.post(f"S{number}", price, 1, 1)
        posted.append(PositionIn(f"S{number}", INSTRUMENTS.of("").quantity_text(quantity)))
    whole = worth(book_of("desk", "7", posted, INSTRUMENTS), known.by_symbol, ensemble=True)
    parts = [
        worth(book_of("desk", "0", [one], INSTRUMENTS), known.by_symbol, ensemble=True) for one in posted
    ]
    assert whole.value == sum(part.value for part in parts)
    assert whole.value == sum(price * quantity for price, quantity in holdings) * 10**8
    assert whole.nav - whole.value == 7 * 10**MONEY_SCALE


def test_sums_alone_are_those_of_the_lines_and_nothing_known_is_the_collectors_business() -> None:
    known = quotes()
    for day, symbol in enumerate("ABC", 1):
        known.candle(candle(symbol, day, 1000 * day), day)
        known.post(symbol, 900 * day, 10 + day, 10 + day)
    book = book_of("desk", "5", [PositionIn(symbol, "2", "3") for symbol in "ABC"], INSTRUMENTS)
    for ensemble in (False, True):
        lines = worth(book, known.by_symbol, ensemble=ensemble)
        sums = whole(in_slices(book, known.by_symbol, ensemble, 0, 0, with_lines=False))
        assert sums == lines._replace(lines=[])
    quote = known.by_symbol["A"]
    assert not any(map(gc.is_tracked, (quote, quote.seen, quote.mark, quote.agreed, *quote.answers)))


def test_positions_without_a_price_are_all_named() -> None:
    known = quotes()
    known.post("A", 1, 1, 1)
    posted = [PositionIn(symbol, "1") for symbol in "ABCDEFGH"]
    with pytest.raises(NoMarkError, match=r"desk: no price of B, C, D, E, F and 2 more") as caught:
        worth(book_of("desk", "0", posted, INSTRUMENTS), known.by_symbol, ensemble=False)
    assert caught.value.symbols == tuple("BCDEFGH")


def test_a_model_without_an_answer_leaves_a_position_without_a_price() -> None:
    known = quotes(models={"vwap": Model(kind="vwap")}, model="vwap")
    known.post("A", 1, 1, 1)
    book = book_of("desk", "0", [PositionIn("A", "1")], INSTRUMENTS)
    for ensemble in (False, True):
        with pytest.raises(NoMarkError):
            worth(book, known.by_symbol, ensemble=ensemble)


def test_a_mark_older_than_asked_for_is_refused() -> None:
    known = quotes()
    known.post("A", 1, 1_000_000, 1_000_000)
    book = book_of("desk", "0", [PositionIn("A", "1")], INSTRUMENTS)
    worth(book, known.by_symbol, ensemble=False, now_us=3_000_000, max_age_us=2_000_000)
    with pytest.raises(StaleMarkError, match=r"desk: the mark of A is 2\.5 s old; the limit is 2 s"):
        worth(book, known.by_symbol, ensemble=False, now_us=3_500_000, max_age_us=2_000_000)


@pytest.mark.parametrize(
    ("cash", "position", "text"),
    [
        ("1", PositionIn("A", "0.00001"), "positions[0].quantity: '0.00001' has more than 4 decimals"),
        ("1", PositionIn("A", "NaN"), "positions[0].quantity: 'NaN' is not a decimal number"),
        ("1", PositionIn("A", "1", "-1"), "positions[0].cost: '-1' is negative"),
        ("inf", PositionIn("A", "1"), "cash: 'inf' is not a decimal number"),
        ("1", PositionIn("A", "9" * 20), "positions[0].quantity: "),
    ],
)
def test_a_book_that_cannot_be_counted_is_refused(cash: str, position: PositionIn, text: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        book_of("desk", cash, [position], INSTRUMENTS)
    assert str(caught.value).startswith(text)


def test_a_symbol_is_in_a_book_once() -> None:
    with pytest.raises(InvalidEventError, match=r"positions\[1\]\.symbol: 'A' is there twice"):
        book_of("desk", "0", [PositionIn("A", "1"), PositionIn("A", "2")], INSTRUMENTS)


def test_positions_are_told_as_they_were_posted() -> None:
    posted = [PositionIn("A", "-12.5", "100.25"), PositionIn("B", "3")]
    book = book_of("desk", "-2.5", posted, INSTRUMENTS)
    texts = [position_texts(one, INSTRUMENTS.of(one.symbol)) for one in book.positions]
    assert texts == [
        {"symbol": "A", "quantity": "-12.5", "cost": "100.25"},
        {"symbol": "B", "quantity": "3"},
    ]
    assert cash_text(book) == "-2.5"


def test_one_position_is_changed_and_taken_out() -> None:
    book = book_of("desk", "0", [PositionIn("A", "1"), PositionIn("C", "1")], INSTRUMENTS)
    more = with_position(book, book_of("", "0", [PositionIn("B", "2")], INSTRUMENTS).positions[0])
    assert [one.symbol for one in more.positions] == ["A", "B", "C"]
    assert more.version == 2
    less = with_position(more, more.positions[1].__class__("B", 0))
    assert [one.symbol for one in less.positions] == ["A", "C"]


def fill(strategy: str, side: int, quantity: int, price: int, commission: int = 0) -> Fill:
    return Fill(1, 0, strategy, side, quantity, price, commission, 0, 0, "next_open")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["x", "y"]), st.sampled_from([BUY, SELL]), st.integers(1, 99), st.integers(1, 99)
        ),
        max_size=30,
    ),
    st.integers(1, 99),
)
def test_the_own_book_is_worth_what_was_earned(trades: list[tuple[str, int, int, int]], last: int) -> None:
    own = OwnBook("pipeline", INSTRUMENTS)
    known = quotes()
    known.post("A", last, 1, 1)
    cash = position = 0
    for strategy, side, quantity, price in trades:
        own.add("A", fill(strategy, side, quantity, price, commission=3))
        cash -= side * quantity * price + 3
        position += side * quantity
    found = worth(own.book, known.by_symbol, ensemble=False)
    assert found.nav == (cash + position * last) * 10**8
    again = OwnBook("pipeline", INSTRUMENTS)
    again.restore(*own.state)
    assert again.book == own.book
