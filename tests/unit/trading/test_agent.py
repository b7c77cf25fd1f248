from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct

from pipeline import limits
from pipeline.clock import US_PER_S
from pipeline.config import schema
from pipeline.errors import ConfigError
from pipeline.messages import BUY, SELL, Candle, Control, Decision, Event, Leg, Signal, Verdict
from pipeline.trading.agent import AgentLogic
from pipeline.trading.reasons import code_of
from pipeline.trading.state import State
from pipeline.trading.strategies import FULL, KINDS

DAY_US = 86_400 * US_PER_S
LOT = 10_000
"""One share at four decimals."""


class Script(Struct, frozen=True, array_like=True):
    bars: int = 0


class Scripted:
    """Wants what the candle's volume says: volume 1 + FULL + intent, 0 for nothing, 1 raises."""

    memory = Script
    vetted = False

    def __init__(self, section: schema.Strategy) -> None:
        self.tag = f"scripted({section.fast})"

    def origin(self) -> Script:
        return Script()

    def step(self, memory: Script, candle: Candle) -> Any:
        if candle.volume == 1:
            raise KeyError(candle.symbol)
        wish = None if not candle.volume else candle.volume - FULL - 10
        return Script(memory.bars + 1), wish


def scripted(**changed: Any) -> schema.Strategy:
    return schema.Strategy(kind="scripted", **changed)  # type: ignore[arg-type]


class Desk:
    """One key of an agent, driven event by event; checks that rebuilding agrees at every step."""

    def __init__(self, policy: str = "next_open", symbol: str = "AAPL", **trading: Any) -> None:
        trading.setdefault("strategies", {"s": scripted()})
        trading.setdefault("throttles", ())
        self.logic = AgentLogic(schema.Trading(**trading), policy, kinds={"scripted": Scripted})
        self.state: State = self.logic.origin(symbol)
        self.seq = 0
        self.day = 0

    def give(self, event: Event, at_us: int = 0) -> Decision:
        self.seq += 1
        after, decision = self.logic.step(self.state, event, key_seq=self.seq, at_us=at_us)
        assert self.logic.apply(self.state, event, decision, key_seq=self.seq, at_us=at_us) == after
        assert self.logic.decode(self.logic.encode(after)) == after
        self.state = after
        return decision

    def bar(self, intent: int | None = None, price: int = 100_0000, *, raises: bool = False) -> Decision:
        self.day += 1
        volume = 1 if raises else 0 if intent is None else intent + FULL + 10
        return self.give(Candle("AAPL", self.day * DAY_US, price, price, price, price, volume))

    def signal(
        self, side: int, quantity: int = 0, price: int = 0, name: str = "s", at_us: int = 0
    ) -> Decision:
        return self.give(Signal("AAPL", name, side, quantity, price), at_us)

    def position(self, name: str = "s") -> int:
        return next((slot.position for slot in self.state.slots if slot.name == name), 0)


def codes(decision: Decision) -> list[str]:
    return [code_of(reason) for leg in decision.legs for reason in leg.reasons]


def test_nothing_wanted_is_held() -> None:
    assert Desk().bar() == Decision((Leg("s", Verdict.HELD),))


def test_a_wish_becomes_an_entry_at_the_close() -> None:
    desk = Desk()
    assert desk.bar(FULL).legs == (Leg("s", Verdict.ORDERED, BUY, 100 * LOT, 100_0000, (), 0, "entry"),)
    assert desk.position() == 100 * LOT


def test_wanting_what_is_had_is_held() -> None:
    desk = Desk()
    desk.bar(FULL)
    assert desk.bar(FULL).legs == (Leg("s", Verdict.HELD),)


def test_a_part_of_the_quantity_is_rounded_down_to_lots() -> None:
    desk = Desk(
        instruments={"default": schema.Instrument(lot="7")}, strategies={"s": scripted(quantity="21")}
    )
    assert desk.bar(-FULL // 2).legs[0].quantity == 7 * LOT


def test_a_turn_from_long_to_short_is_an_exit_and_an_entry() -> None:
    desk = Desk()
    desk.bar(FULL)
    legs = desk.bar(-FULL // 4).legs
    assert [(leg.side, leg.quantity, leg.intent) for leg in legs] == [
        (SELL, 100 * LOT, "exit"),
        (SELL, 25 * LOT, "entry"),
    ]
    assert desk.position() == -25 * LOT
    assert [leg.intent for leg in desk.bar(-FULL // 10).legs] == ["exit"]


def test_a_candle_not_later_than_the_last_is_rejected_and_changes_nothing() -> None:
    desk = Desk()
    desk.bar()
    before = desk.state
    desk.day = 0
    decision = desk.bar(FULL)
    assert decision == Decision(rejected=f"CANDLE_STALE: time_us={DAY_US} last_us={DAY_US}")
    assert desk.state is before


def test_the_clock_never_falls_and_controls_do_not_move_it() -> None:
    desk = Desk()
    desk.bar()
    desk.signal(BUY, LOT, at_us=50 * DAY_US)
    assert desk.state.clock_us == 50 * DAY_US
    desk.bar()
    desk.signal(BUY, LOT, at_us=7)
    desk.give(Control("halt", ""), at_us=90 * DAY_US)
    assert desk.state.clock_us == 50 * DAY_US


def test_a_denied_entry_keeps_the_position_and_says_every_reason() -> None:
    throttle = schema.Throttle(name="t", max_trades=1, window_seconds=86_400 * 3, cooldown_seconds=86_400 * 9)
    desk = Desk(throttles=(throttle,))
    desk.bar(FULL)
    desk.bar(0)
    leg = desk.bar(FULL).legs[0]
    assert (leg.verdict, leg.intent, leg.quantity) == (Verdict.DENIED, "entry", 100 * LOT)
    assert [code_of(reason) for reason in leg.reasons] == ["THROTTLE_WINDOW", "THROTTLE_COOLDOWN"]
    assert leg.retry_at_us == (2 + 9) * DAY_US
    assert desk.position() == 0


def test_an_exit_passes_a_full_throttle_and_a_halt() -> None:
    desk = Desk(throttles=(schema.Throttle(name="t", max_trades=1, window_seconds=31_536_000),))
    desk.bar(FULL)
    desk.give(Control("halt", "drill"))
    assert codes(desk.bar(-FULL)) == ["RISK_HALTED", "THROTTLE_WINDOW"]
    assert desk.position() == 0


def test_a_halt_denies_entries_until_resume() -> None:
    desk = Desk()
    assert desk.give(Control("halt", "")) == Decision()
    leg = desk.bar(FULL).legs[0]
    assert leg.reasons == ("RISK_HALTED: by=halt",)
    assert leg.retry_at_us == 0
    desk.give(Control("resume", ""))
    assert desk.bar(FULL).legs[0].verdict == Verdict.ORDERED


def test_a_flatten_exits_every_intended_position_and_halts() -> None:
    desk = Desk()
    desk.bar(FULL)
    desk.signal(SELL, 5 * LOT, name="alert")
    legs = desk.give(Control("flatten", "")).legs
    assert [(leg.strategy, leg.side, leg.quantity, leg.intent) for leg in legs] == [
        ("s", SELL, 100 * LOT, "exit"),
        ("alert", BUY, 5 * LOT, "exit"),
    ]
    assert (desk.position(), desk.position("alert")) == (0, 0)
    assert codes(desk.bar(FULL)) == ["RISK_HALTED"]


def test_a_flatten_without_any_candle_uses_the_last_orders_price() -> None:
    desk = Desk()
    desk.signal(BUY, LOT, price=77)
    assert desk.give(Control("flatten", "")).legs[0].price == 77


def test_an_unknown_control_is_rejected() -> None:
    assert Desk().give(Control("levitate", "")).rejected == "CONTROL_UNKNOWN: action=levitate"


def test_a_strategy_that_raises_fails_alone_and_keeps_its_memory() -> None:
    desk = Desk(strategies={"s": scripted(), "t": scripted()})
    desk.bar()
    decision = desk.bar(raises=True)
    assert [leg.verdict for leg in decision.legs] == [Verdict.FAILED, Verdict.FAILED]
    assert all(reason.startswith("STRATEGY_RAISED: error=KeyError") for reason in decision.legs[0].reasons)
    assert [slot.memory for slot in desk.state.slots] == [Script(1), Script(1)]
    assert desk.state.candle_us == 2 * DAY_US


def test_a_signal_takes_its_price_or_the_last_close_or_is_rejected() -> None:
    desk = Desk()
    assert desk.signal(BUY).rejected == "SIGNAL_UNPRICED: strategy=s"
    desk.bar(price=50_0000)
    assert desk.signal(BUY).legs[0].price == 50_0000
    assert desk.signal(BUY, price=60_0000).legs[0].price == 60_0000


def test_a_signal_without_quantity_takes_the_strategys_or_the_configured_one() -> None:
    desk = Desk(strategies={"s": scripted(quantity="3")}, signal_quantity="8")
    desk.bar()
    assert desk.signal(BUY).legs[0].quantity == 3 * LOT
    assert desk.signal(BUY, name="alert").legs[0].quantity == 8 * LOT


def test_a_sell_beyond_the_position_closes_it_and_enters_short() -> None:
    desk = Desk()
    desk.signal(BUY, 3 * LOT, price=9)
    legs = desk.signal(SELL, 5 * LOT, price=9).legs
    assert [(leg.quantity, leg.intent) for leg in legs] == [(3 * LOT, "exit"), (2 * LOT, "entry")]


def test_a_close_never_goes_past_flat() -> None:
    desk = Desk()
    desk.signal(SELL, 3 * LOT, price=9)
    assert desk.signal(0, LOT, price=9).legs[0].quantity == LOT
    assert desk.signal(0, 9 * LOT, price=9).legs[0].quantity == 2 * LOT
    assert desk.signal(0, price=9).legs == (Leg("s", Verdict.HELD),)


def test_a_signal_beyond_the_maximum_quantity_enters_nothing() -> None:
    desk = Desk(max_signal_quantity="10")
    desk.signal(BUY, 2 * LOT, price=9)
    legs = desk.signal(SELL, 11 * LOT, price=9).legs
    assert [leg.verdict for leg in legs] == [Verdict.ORDERED, Verdict.DENIED]
    assert legs[1].reasons == ("RISK_MAX_QUANTITY: wanted=11 limit=10",)


def test_amounts_beyond_64_bits_are_refused_by_name() -> None:
    desk = Desk(max_signal_quantity="100000000000")
    legs = desk.signal(BUY, limits.MAX_SCALED, price=limits.MAX_SCALED).legs
    assert code_of(legs[0].reasons[0]) == "RISK_MAX_NOTIONAL"
    desk.signal(BUY, limits.MAX_SCALED, price=1)
    assert codes(desk.signal(BUY, LOT, price=1)) == ["RISK_MAX_POSITION"]


def test_a_candle_at_which_the_position_could_not_be_counted_is_rejected_by_name() -> None:
    desk = Desk(max_signal_quantity="100000000000")
    desk.signal(BUY, limits.MAX_SCALED // 10, price=1)
    before = desk.state
    assert code_of(desk.bar(price=10**8).rejected) == "CANDLE_OVERFLOW"
    assert desk.state is before
    assert not desk.bar(price=2).rejected


def test_once_flat_old_peaks_no_longer_count() -> None:
    desk = Desk("signal_price", max_signal_quantity="100000000000")
    desk.signal(BUY, limits.MAX_SCALED // 10, price=1)
    desk.signal(0, price=1)
    assert not desk.bar(price=10**8).rejected


def test_orders_that_would_rest_without_end_are_denied() -> None:
    desk = Desk()
    for _ in range(limits.MAX_RESTING_ORDERS):
        assert not codes(desk.signal(BUY, LOT, price=9))
    assert codes(desk.signal(BUY, LOT, price=9)) == ["RISK_MAX_ORDERS"]
    assert not codes(desk.signal(0, LOT, price=9))
    desk.bar()
    assert not codes(desk.signal(BUY, LOT, price=9))


def test_where_orders_fill_at_once_their_number_is_not_limited() -> None:
    desk = Desk("signal_price")
    for _ in range(limits.MAX_RESTING_ORDERS + 1):
        assert not codes(desk.signal(BUY, LOT, price=9))


def test_too_many_strategies_of_signals_are_denied_until_some_are_flat() -> None:
    desk = Desk()
    for index in range(limits.MAX_STRATEGIES_A_KEY - 1):
        assert not codes(desk.signal(BUY, LOT, price=9, name=f"n{index}"))
    assert codes(desk.signal(BUY, LOT, price=9, name="more")) == ["RISK_MAX_STRATEGIES"]
    desk.signal(0, price=9, name="n7")
    assert not codes(desk.signal(BUY, LOT, price=9, name="more"))
    assert [slot.name for slot in desk.state.slots][:2] == ["s", "n0"]
    assert "n7" not in [slot.name for slot in desk.state.slots]


def test_a_denied_signal_leaves_no_trace_of_its_strategy() -> None:
    desk = Desk()
    desk.give(Control("halt", ""))
    desk.signal(BUY, LOT, price=9, name="new")
    assert [slot.name for slot in desk.state.slots] == ["s"]


def test_strategies_trade_only_the_symbols_they_name() -> None:
    strategies = {
        "all": scripted(),
        "other": scripted(symbols=("MSFT",)),
        "this": scripted(symbols=("AAPL",)),
    }
    desk = Desk(strategies=strategies)
    assert [leg.strategy for leg in desk.bar().legs] == ["all", "this"]


def test_throttles_count_only_what_their_scope_names() -> None:
    throttle = schema.Throttle(name="t", multiplier="0", scope=schema.Scope(strategy_id="a", symbol="AAPL"))
    desk = Desk(strategies={"a": scripted(), "b": scripted()}, throttles=(throttle,))
    assert [leg.verdict for leg in desk.bar(FULL).legs] == [Verdict.DENIED, Verdict.ORDERED]
    other = Desk(symbol="MSFT", strategies={"a": scripted()}, throttles=(throttle,))
    assert [leg.verdict for leg in other.bar(FULL).legs] == [Verdict.ORDERED]


def test_a_state_fits_a_changed_configuration_without_losing_positions() -> None:
    throttle = schema.Throttle(name="t", max_trades=1, window_seconds=31_536_000)
    desk = Desk(strategies={"s": scripted(), "gone": scripted()}, throttles=(throttle,))
    desk.bar(FULL)
    data = desk.logic.encode(desk.state)
    changed = Desk(
        strategies={"new": scripted(), "s": scripted(fast=3)},
        throttles=(schema.Throttle(name="u"), throttle),
    )
    state = changed.logic.decode(data)
    assert [(slot.name, slot.position) for slot in state.slots] == [
        ("new", 0),
        ("s", 100 * LOT),
        ("gone", 100 * LOT),
    ]
    assert [slot.memory for slot in state.slots] == [Script(), Script(), None]
    assert [len(slot.scope.entries()) for slot in state.slots] == [0, 1, 1]


def test_a_memory_that_is_not_the_strategys_begins_anew() -> None:
    desk = Desk()
    desk.bar(FULL)
    data = desk.logic.encode(desk.state).replace(b"\x91\x01", b"\x91\xa0")
    assert desk.logic.decode(data).slots[0].memory == Script()


def test_the_throttles_of_a_key_can_be_shown() -> None:
    desk = Desk(throttles=(schema.Throttle(name="t", max_trades=2),))
    desk.bar(FULL)
    shown = desk.logic.throttle_scopes(desk.state)
    assert [(s["name"], s["scope"]["strategy_id"], s["remaining_trades"]) for s in shown] == [("t", "s", 1)]


def test_the_code_names_logic_and_configuration() -> None:
    code = AgentLogic(schema.Trading()).code
    assert code == AgentLogic(schema.Trading()).code
    assert code != AgentLogic(schema.Trading(), "signal_price").code
    assert code != AgentLogic(schema.Trading(signal_quantity="7")).code


def test_every_impossible_strategy_is_named_at_once() -> None:
    strategies = {"a": scripted(), "b": schema.Strategy(kind="sma_cross", fast=9, slow=9)}
    with pytest.raises(ConfigError) as caught:
        AgentLogic(schema.Trading(strategies=strategies))
    assert caught.value.faults == [
        f"trading.strategies.a.kind = 'scripted': expected {', '.join(sorted([*KINDS, 'ensemble']))}",
        "trading.strategies.b: sma_cross: fast = 9 must be positive and below slow = 9",
    ]
