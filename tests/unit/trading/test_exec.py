from __future__ import annotations

from typing import Any

import pytest

from pipeline.config.schema import Exec, Instrument, Trading
from pipeline.errors import DamagedError
from pipeline.messages import (
    BUY,
    SELL,
    Cancel,
    Candle,
    Control,
    Decision,
    Event,
    Fill,
    Fills,
    Leg,
    Signal,
    Verdict,
)
from pipeline.trading.exec import ExecLogic
from pipeline.trading.exec_state import Order, Position

TRADING = Trading(instruments={"default": Instrument(price_scale=2, quantity_scale=0, tick="0.05", lot="1")})


class Floor:
    """One key of an exec, driven event by event; checks that rebuilding agrees at every step."""

    def __init__(self, **section: Any) -> None:
        section.setdefault("commission_bps", "0")
        self.logic = ExecLogic(TRADING, Exec(**section))
        self.state = self.logic.origin("AAPL")
        self.seq = 0

    def give(self, event: Event, *legs: Leg, rejected: str = "") -> Fills:
        self.seq += 1
        decision = Decision(legs, rejected)
        after, fills = self.logic.step(self.state, event, decision, key_seq=self.seq)
        assert self.logic.apply(self.state, event, decision, fills, key_seq=self.seq) == after
        assert self.logic.decode(self.logic.encode(after)) == after
        self.state = after
        assert fills.resting == len(after.orders)
        return fills

    def bar(self, opened: int, *legs: Leg, rejected: str = "") -> Fills:
        return self.give(Candle("AAPL", 0, opened, opened, opened, opened, 0), *legs, rejected=rejected)

    def signal(self, *legs: Leg) -> Fills:
        return self.give(Signal("AAPL", "s", BUY, 0, 0), *legs)

    def flatten(self, *legs: Leg) -> Fills:
        return self.give(Control("flatten", ""), *legs)


def order(side: int, quantity: int, intent: str = "entry", price: int = 1000, strategy: str = "s") -> Leg:
    return Leg(strategy, Verdict.ORDERED, side, quantity, price, intent=intent)


HELD = Leg("s", Verdict.HELD)


def test_an_order_rests_and_fills_at_the_open_of_the_next_candle() -> None:
    floor = Floor(commission_bps="10")
    assert floor.bar(1000, HELD, order(BUY, 100)) == Fills((), 1)
    assert floor.bar(1010) == Fills((Fill(1, 1, "s", BUY, 100, 1010, 101, 0, 100, "next_open"),), 0)
    assert floor.state.positions == (Position("s", 100, 101_000),)


def test_a_signal_does_not_wake_what_rests_for_a_candle() -> None:
    floor = Floor()
    floor.bar(1000, order(BUY, 100))
    assert floor.signal(order(BUY, 5)) == Fills((), 2)
    assert [fill.order_seq for fill in floor.bar(1010).fills] == [1, 2]


def test_a_rejected_candle_fills_nothing() -> None:
    floor = Floor()
    floor.bar(1000, order(BUY, 100))
    assert floor.bar(5, rejected="CANDLE_STALE: x") == Fills((), 1)


def test_with_signal_price_an_order_fills_at_once_at_its_legs_price() -> None:
    floor = Floor(fill_policy="signal_price")
    fills = floor.signal(order(BUY, 100, price=990))
    assert fills == Fills((Fill(1, 0, "s", BUY, 100, 990, 0, 0, 100, "signal_price"),), 0)


def test_an_order_that_rested_before_the_policy_changed_still_fills_at_the_open() -> None:
    before, after = Floor(), Floor(fill_policy="signal_price")
    before.bar(1000, order(BUY, 100))
    after.state, after.seq = before.state, before.seq
    fills = after.bar(1010, order(SELL, 100, "exit", price=1020)).fills
    assert [(fill.price, fill.policy) for fill in fills] == [(1010, "next_open"), (1020, "signal_price")]
    assert fills[1].realised == 1000


def test_slippage_is_adverse_on_the_tick() -> None:
    floor = Floor(slippage_bps="1")
    floor.bar(1000, order(BUY, 10))
    assert floor.bar(1000, order(SELL, 10, "exit")).fills[0].price == 1005
    assert floor.bar(1000).fills[0].price == 995


def test_each_strategy_has_a_position_of_its_own() -> None:
    floor = Floor(fill_policy="signal_price")
    fills = floor.bar(1000, order(BUY, 10), order(SELL, 4, strategy="t")).fills
    assert [fill.position for fill in fills] == [10, -4]
    assert (floor.state.filled("s"), floor.state.filled("t"), floor.state.filled("u")) == (10, -4, 0)


def test_a_flatten_sells_what_is_held_at_the_next_open() -> None:
    floor = Floor()
    floor.bar(1000, order(BUY, 10))
    floor.bar(1000)
    assert floor.flatten(order(SELL, 10, "exit")) == Fills((), 1)
    assert floor.bar(1100).fills[0].realised == 1000
    assert floor.state.positions == ()


def test_a_flatten_cancels_an_entry_that_rests_and_the_exit_meant_for_it() -> None:
    floor = Floor()
    floor.bar(1000, order(BUY, 10))
    assert floor.flatten(order(SELL, 10, "exit")) == Fills(
        (), 0, (Cancel(1, 0, "s", 10), Cancel(2, 0, "s", 10))
    )
    assert floor.state == floor.logic.origin("AAPL")


def test_a_flatten_cuts_its_exit_to_what_is_really_held() -> None:
    floor = Floor()
    floor.bar(1000, order(BUY, 10))
    floor.bar(1000, order(BUY, 5))
    fills = floor.flatten(order(SELL, 15, "exit"))
    assert fills == Fills((), 1, (Cancel(2, 0, "s", 5), Cancel(3, 0, "s", 5)))
    assert floor.state.orders == (Order(3, 0, "s", SELL, 10, "exit"),)


def test_a_flatten_keeps_exits_that_rest_and_leaves_nothing_over() -> None:
    floor = Floor()
    floor.bar(1000, order(BUY, 10))
    floor.bar(1000, order(SELL, 10, "exit"), order(SELL, 4))
    floor.signal(order(BUY, 6, strategy="t"), order(SELL, 6, "exit", strategy="t"))
    assert floor.flatten(order(BUY, 4, "exit")).resting == 1
    floor.bar(1000)
    assert floor.state == floor.logic.origin("AAPL")


def test_with_signal_price_a_flatten_fills_at_once() -> None:
    floor = Floor(fill_policy="signal_price")
    floor.bar(1000, order(BUY, 10))
    assert floor.flatten(order(SELL, 10, "exit", price=900)).fills[0].realised == -1000


@pytest.mark.parametrize(
    ("fills", "message"),
    [
        (
            Fills((Fill(7, 0, "s", BUY, 10, 1, 0, 0, 10, "next_open"),)),
            r"fill AAPL:2@7\.0 is of 10 for s: there is no such order open",
        ),
        (
            Fills((Fill(1, 0, "s", BUY, 11, 1, 0, 0, 10, "next_open"),)),
            r"fill AAPL:2@1\.0 is of 11 for s: open is 10",
        ),
        (
            Fills(cancelled=(Cancel(1, 0, "s", 11),)),
            r"cancellation AAPL:2@1\.0! is of 11 for s: open is 10",
        ),
    ],
)
def test_a_recorded_fill_that_cannot_be_is_damage(fills: Fills, message: str) -> None:
    floor = Floor()
    floor.bar(1000, order(BUY, 10))
    with pytest.raises(DamagedError, match=message):
        floor.logic.apply(floor.state, Control("halt", ""), Decision(), fills, key_seq=2)


def test_a_recorded_part_of_an_order_leaves_the_rest() -> None:
    floor = Floor()
    floor.bar(1000, order(BUY, 10))
    fills = Fills((Fill(1, 0, "s", BUY, 4, 1000, 0, 0, 4, "next_open"),), 1)
    after = floor.logic.apply(floor.state, Control("halt", ""), Decision(), fills, key_seq=2)
    assert after.orders == (Order(1, 0, "s", BUY, 6, "entry"),)
    assert after.filled("s") == 4


def test_the_code_names_policy_and_costs() -> None:
    assert ExecLogic(TRADING, Exec()).code == "2-next_open/1/0"
