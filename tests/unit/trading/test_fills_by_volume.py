from __future__ import annotations

import msgspec
import pytest

from pipeline import limits
from pipeline.config import schema
from pipeline.errors import DamagedError
from pipeline.messages import BUY, SELL, Action, Candle, Control, Decision, Event, Fills, Leg, Verdict
from pipeline.trading.exec import ExecLogic
from pipeline.trading.exec_state import ExecState

TRADING = schema.Trading(
    instruments={"default": schema.Instrument(price_scale=0, quantity_scale=0, tick="1", lot="5")}
)


def floor(policy: str = "next_open") -> ExecLogic:
    execs = schema.Exec(fill_policy=policy, commission_bps="0", volume_limit_percent="10")  # type: ignore[arg-type]
    return ExecLogic(TRADING, execs)


def bar(volume: int, price: int = 10) -> Candle:
    return Candle("K", 1, price, price + 2, price - 2, price, volume)


def order(side: int, quantity: int, intent: str = "entry", strategy: str = "s") -> Leg:
    return Leg(strategy, int(Verdict.ORDERED), side, quantity, 10, (), 0, intent)


class Floor:
    def __init__(self, logic: ExecLogic) -> None:
        self.logic = logic
        self.state = ExecState("K")
        self.seq = 0

    def tell(self, event: Event, *legs: Leg) -> Fills:
        self.seq += 1
        decision = Decision(legs)
        before = self.state
        self.state, fills = self.logic.step(before, event, decision, key_seq=self.seq)
        assert self.logic.apply(before, event, decision, fills, key_seq=self.seq) == self.state
        return fills


def amounts(fills: Fills) -> list[tuple[int, int, int]]:
    return [(fill.order_seq, fill.side * fill.quantity, fill.price) for fill in fills.fills]


def test_an_order_fills_in_parts_of_whole_lots_over_several_candles() -> None:
    desk = Floor(floor())
    assert desk.tell(bar(0), order(BUY, 20)).resting == 1
    assert amounts(desk.tell(bar(99, 11))) == [(1, 5, 11)], "10 % of 99 are one lot of 5"
    assert amounts(desk.tell(bar(0))) == []
    fills = desk.tell(bar(1_000, 12))
    assert amounts(fills) == [(1, 15, 12)]
    assert (fills.resting, desk.state.filled("s")) == (0, 20)


def test_older_orders_take_the_volume_first() -> None:
    desk = Floor(floor())
    desk.tell(bar(0), order(BUY, 20, strategy="a"), order(SELL, 20, strategy="b"))
    assert amounts(desk.tell(bar(250))) == [(1, 20, 10), (1, -5, 10)]


def test_an_order_against_what_rests_takes_it_back_instead_of_trading() -> None:
    desk = Floor(floor())
    desk.tell(bar(0), order(BUY, 20))
    fills = desk.tell(bar(50), order(SELL, 20, "exit"))
    assert amounts(fills) == [(1, 5, 10)]
    assert [(one.order_seq, one.quantity) for one in fills.cancelled] == [(1, 15), (2, 15)]
    assert fills.resting == 1
    assert amounts(desk.tell(bar(1_000))) == [(2, -5, 10)]
    assert desk.state.filled("s") == 0


def test_the_worst_of_the_bar_holds_for_parts_too() -> None:
    desk = Floor(floor("worst_of_bar"))
    desk.tell(bar(0), order(BUY, 10))
    assert amounts(desk.tell(bar(50))) == [(1, 5, 12)]


def test_a_flatten_takes_back_what_has_not_filled() -> None:
    desk = Floor(floor())
    desk.tell(bar(0), order(BUY, 20))
    desk.tell(bar(50))
    desk.tell(Control(Action.FLATTEN.value, ""), order(SELL, 20, "exit"))
    desk.tell(bar(1_000))
    assert (desk.state.filled("s"), desk.state.orders) == (0, ())


def test_too_many_waiting_orders_fill_whole_from_the_oldest_on() -> None:
    desk = Floor(floor())
    for _ in range(limits.MAX_PARTIAL_ORDERS + 2):
        desk.tell(Control(Action.RESUME.value, ""), order(BUY, 5))
    fills = desk.tell(bar(0))
    assert [fill.order_seq for fill in fills.fills] == [1, 2]
    assert len(desk.state.orders) == limits.MAX_PARTIAL_ORDERS


def test_a_recorded_fill_beyond_its_order_or_of_another_is_refused_loudly() -> None:
    desk = Floor(floor())
    desk.tell(bar(0), order(BUY, 20))
    state = desk.state
    (fill,) = desk.tell(bar(50)).fills
    too_much, stranger = (
        msgspec.structs.replace(fill, **one) for one in ({"quantity": 25}, {"order_seq": 7})
    )
    for wrong in (Fills((too_much,)), Fills((stranger,)), Fills((fill, too_much))):
        with pytest.raises(DamagedError, match=r"fill \S+ (is of \d+ for s|came again as another)"):
            desk.logic.apply(state, bar(50), Decision(), wrong, key_seq=2)
    assert desk.logic.apply(state, bar(50), Decision(), Fills((fill,) * 5), key_seq=2) == desk.state
