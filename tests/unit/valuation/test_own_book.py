"""The own book follows its holdings one by one, and is what they add up to."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.messages import Fill
from pipeline.trading.instruments import Instruments
from pipeline.valuation.book import Position
from pipeline.valuation.own_book import Holding, OwnBook
from pipeline.valuation_limits import MAX_POSITIONS

INSTRUMENTS = Instruments(Config().trading)

trades = st.lists(
    st.tuples(
        st.sampled_from(("a", "b")),
        st.sampled_from(("AAPL", "JPM", "MSFT")),
        st.sampled_from((-1, 1)),
        st.integers(1, 2),
        st.integers(1, 9),
    ),
    max_size=40,
)


def own_book() -> OwnBook:
    return OwnBook("pipeline", INSTRUMENTS)


def fill(strategy: str, side: int, quantity: int, price: int) -> Fill:
    return Fill(
        order_seq=1, order_leg=0, strategy=strategy, side=side, quantity=quantity, price=price, commission=0,
        realised=0, position=0, policy="",
    )  # fmt: skip


def added_up(holdings: tuple[Holding, ...]) -> tuple[Position, ...]:
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for held in holdings:
        sums[held.symbol][0] += held.position
        sums[held.symbol][1] += held.cost if held.position > 0 else -held.cost
    return tuple(Position(symbol, *sums[symbol]) for symbol in sorted(sums))


@given(trades, trades)
def test_it_is_what_its_holdings_add_up_to_also_after_a_restart(
    before: list[tuple[str, str, int, int, int]], after: list[tuple[str, str, int, int, int]]
) -> None:
    own = own_book()
    for strategy, symbol, side, quantity, price in before:
        own.add(symbol, fill(strategy, side, quantity, price))
        assert own.book.positions == added_up(own.state[1])
    again = own_book()
    again.restore(*own.state)
    for strategy, symbol, side, quantity, price in after:
        for one in (own, again):
            one.add(symbol, fill(strategy, side, quantity, price))
        assert again.book == own.book
        assert again.book.positions == added_up(again.state[1])


def test_a_fill_makes_one_position_anew_however_many_there_are() -> None:
    own = own_book()
    own.restore("0", tuple(Holding("a", f"S{index:05}", 10, 100) for index in range(MAX_POSITIONS)))
    known = {id(position) for position in own.book.positions}
    before = own.book
    own.add("S05000", fill("b", 1, 5, 20))
    after = own.book
    assert after is not before
    assert len(after.positions) == MAX_POSITIONS
    assert [one for one in after.positions if id(one) not in known] == [Position("S05000", 15, 200)]
