"""A flatten's exits start a cooldown at the flatten, however long the key has been idle, on its clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import schema
from pipeline.messages import BUY, Candle, Control, Decision, Event, Signal, Verdict
from pipeline.trading.agent import AgentLogic
from pipeline.trading.state import State

S = 1_000_000
DAY = 86_400 * S
COOLDOWN_S = 600
BUYS = Signal("K", "s", BUY, 10_000, 1_000_000)
CLOSES = Signal("K", "s", 0, 0, 1_000_000)
FLATTEN, RESUME = Control("flatten", ""), Control("resume", "")
YEAR_2013, YEAR_2026 = 43 * 365 * DAY, 56 * 365 * DAY
PER = ("strategy_and_symbol", "symbol", "strategy", "global")


def agent(per: Any = "strategy_and_symbol") -> AgentLogic:
    throttle = schema.Throttle(name="t", per=per, cooldown_seconds=COOLDOWN_S)
    return AgentLogic(schema.Trading(strategies={}, throttles=(throttle,)), "signal_price")


def told(logic: AgentLogic, *events: tuple[Event, int]) -> tuple[State, Decision]:
    """After these, each accepted at its instant; the last decision. `apply` goes the same way."""
    state, decision = logic.origin("K"), Decision()
    for key_seq, (event, at_us) in enumerate(events, 1):
        before = state
        state, decision = logic.step(before, event, key_seq=key_seq, at_us=at_us)
        assert logic.apply(before, event, decision, key_seq=key_seq, at_us=at_us) == state
        assert logic.decode(logic.encode(state)) == state
    return state, decision


def candle(time_us: int) -> Candle:
    return Candle("K", time_us, 1_000_000, 1_000_000, 1_000_000, 1_000_000, 10_000)


@pytest.mark.parametrize("per", PER)
@given(idle_s=st.integers(0, 100_000), later_s=st.integers(0, 2 * COOLDOWN_S))
def test_it_runs_as_that_of_any_other_exit(per: str, idle_s: int, later_s: int) -> None:
    flat_us = (1000 + idle_s) * S
    entry_us = flat_us + later_s * S
    answers = []
    for leaves in (CLOSES, FLATTEN):
        events = ((BUYS, 1000 * S), (leaves, flat_us), (RESUME, flat_us), (BUYS, entry_us))
        (leg,) = told(agent(per), *events)[1].legs
        answers.append((leg.verdict, leg.retry_at_us, [reason.split(":")[0] for reason in leg.reasons]))
    assert answers[0] == answers[1]
    assert (answers[1][0] == Verdict.ORDERED) == (later_s >= COOLDOWN_S)


def test_on_old_candles_it_runs_on_their_clock() -> None:
    entered = ((candle(YEAR_2013), YEAR_2026), (BUYS, YEAR_2026))
    state, _ = told(agent(), *entered)
    assert state.clock_us == YEAR_2026, "a signal is of its own hour"

    logic = agent()
    begun, _ = told(logic, (candle(YEAR_2013), YEAR_2026))
    flat, _ = logic.step(begun, FLATTEN, key_seq=2, at_us=YEAR_2026 + 5 * S)
    assert flat.clock_us == YEAR_2013 + 5 * S
    again, _ = logic.step(flat, FLATTEN, key_seq=3, at_us=YEAR_2026 + 7 * S)
    assert again.clock_us == YEAR_2013 + 7 * S


def test_other_controls_let_no_time_pass() -> None:
    logic = agent()
    begun, _ = told(logic, (candle(YEAR_2013), YEAR_2026))
    for action in ("halt", "resume"):
        after, _ = logic.step(begun, Control(action, ""), key_seq=2, at_us=YEAR_2026 + DAY)
        assert (after.clock_us, after.lag_us) == (begun.clock_us, begun.lag_us)


def test_a_clock_that_was_set_back_takes_nothing_back() -> None:
    state, _ = told(agent(), (BUYS, 1000 * S), (FLATTEN, 900 * S))
    assert state.clock_us == 1000 * S
