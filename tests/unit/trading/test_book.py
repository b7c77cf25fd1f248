from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.messages import BUY, SELL
from pipeline.trading.book import booked, open_profit

TRADES = st.lists(
    st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 50), st.integers(1, 1000)), max_size=30
)


@given(TRADES, st.integers(1, 1000))
def test_profit_is_exactly_the_cash_that_flowed_whatever_the_path(
    trades: list[tuple[int, int, int]], mark: int
) -> None:
    position = cost = realised = cash = 0
    for side, quantity, price in trades:
        position, cost, gained = booked(position, cost, side, quantity, price)
        realised += gained
        cash -= side * quantity * price
        assert cost >= 0
        assert bool(cost) == bool(position)
    assert realised + open_profit(position, cost, mark) == cash + position * mark


def test_a_part_closed_takes_its_share_of_the_cost_rounded_down() -> None:
    position, cost, _ = booked(0, 0, BUY, 3, 10)
    position, cost, _ = booked(position, cost, BUY, 4, 11)
    assert (position, cost) == (7, 74)
    assert booked(position, cost, SELL, 2, 12) == (5, 74 - 21, 24 - 21)


def test_a_short_gains_when_it_is_bought_back_lower() -> None:
    position, cost, _ = booked(0, 0, SELL, 5, 10)
    assert open_profit(position, cost, 8) == 10
    assert booked(position, cost, BUY, 5, 8) == (0, 0, 10)


def test_a_fill_beyond_the_position_opens_the_rest_the_other_way() -> None:
    assert booked(5, 50, SELL, 8, 12) == (-3, 36, 10)
    assert booked(-5, 50, BUY, 8, 12) == (3, 36, -10)
