"""The state's bytes: those of version 3 and of now, and what a changed configuration makes of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import limits
from pipeline.clock import US_PER_S
from pipeline.config import schema
from pipeline.messages import BUY, Decision, Signal
from pipeline.trading.agent import AgentLogic
from pipeline.trading.reasons import code_of
from pipeline.trading.state import NO_LAG_YET, State

ONE = 10_000
"""A quantity of one, and a hundredth of a price of 100."""
PRICE = 1_000_000
HUNDRED = ONE * PRICE

# Entries of 1, 2 and 3 at 100 (at 1, 20 and 45 s) and an exit (at 31 s) of strategy s: version 3.
HEAD = "9ca14bce02aea540ff00ce000f4240a0ce000f4240cdc350009195a173a0c0cdc350"
TIMES = "93ce000f4240ce01312d00ce02aea540"
V3_COUNTED = bytes.fromhex(HEAD + "9195a174" + TIMES + "90ffff0000")
NOTIONALS = "93cf00000002540be400cf00000004a817c800cf00000006fc23ac00"
V3_ALL = bytes.fromhex(HEAD + "9195a174" + TIMES + NOTIONALS + "ce02aea540ce01d905c00000")
V3_SPACED = bytes.fromhex(HEAD + "9195a1749090ce02aea540ff0000")
V5_COUNTED = bytes.fromhex(
    "9f"
    + HEAD[2:]
    + "9295a174"
    + TIMES
    + "90ffff"
    + "95a0"
    + TIMES
    + NOTIONALS
    + "ce02aea540ce01d905c00000909000"
)


def logic(*throttles: schema.Throttle) -> AgentLogic:
    return AgentLogic(schema.Trading(strategies={}, throttles=throttles), "signal_price")


def rule(**rules: Any) -> schema.Throttle:
    return schema.Throttle(**{"name": "t", "window_seconds": 60, **rules})


def asked(
    agent: AgentLogic, state: State, second: int, quantity: int, seq: int = 9
) -> tuple[State, Decision]:
    event = Signal("K", "s", BUY, quantity, PRICE)
    return agent.step(state, event, key_seq=seq, at_us=second * US_PER_S)


def codes(decision: Decision) -> list[str]:
    return [code_of(reason) for leg in decision.legs for reason in leg.reasons]


def entered(agent: AgentLogic) -> State:
    state = agent.origin("K")
    for seq, (second, side, quantity) in enumerate([(1, 1, 1), (20, 1, 2), (31, 0, 1), (45, 1, 3)], 1):
        event = Signal("K", "s", side, quantity * ONE, PRICE)
        state, _ = agent.step(state, event, key_seq=seq, at_us=second * US_PER_S)
    return state


def test_the_bytes_are_these() -> None:
    agent = logic(rule(max_trades=10))
    state = entered(agent)
    assert agent.encode(state) == V5_COUNTED
    assert agent.decode(V5_COUNTED) == state
    assert agent.encode(agent.decode(V5_COUNTED)) == V5_COUNTED


def test_a_worker_of_version_3_finds_in_them_what_it_wrote_itself() -> None:
    for settings_here, data in (
        ({"max_trades": 10}, V3_COUNTED),
        (
            {"max_trades": 10, "max_notional": "1000", "cooldown_seconds": 5, "min_spacing_seconds": 1},
            V3_ALL,
        ),
        ({"min_spacing_seconds": 7}, V3_SPACED),
    ):
        agent = logic(rule(**settings_here))
        new, old = (msgspec.msgpack.decode(one) for one in (agent.encode(entered(agent)), data))
        by_name = {scope[0]: scope for scope in new[9][0][4]}
        assert [by_name["t"]] == old[9][0][4]
        assert [*new[:9], new[9][0][:4], *new[10:12]] == [*old[:9], old[9][0][:4], *old[10:]]


def test_bytes_of_version_3_are_read_and_the_same_throttle_goes_on() -> None:
    agent = logic(rule(max_trades=3))
    state = agent.decode(V3_COUNTED)
    assert state.slots[0].position == 5 * ONE
    _, decision = asked(agent, state, 46, ONE)
    assert codes(decision) == ["THROTTLE_WINDOW"]
    assert decision.legs[0].retry_at_us == 61 * US_PER_S
    everything = logic(rule(max_trades=10, max_notional="1000", cooldown_seconds=5, min_spacing_seconds=1))
    assert everything.decode(V3_ALL) == msgspec.structs.replace(entered(everything), lag_us=NO_LAG_YET)
    spaced = logic(rule(min_spacing_seconds=7))
    _, decision = asked(spaced, spaced.decode(V3_SPACED), 46, ONE)
    assert decision.legs[0].retry_at_us == 52 * US_PER_S


def test_a_notional_that_version_3_did_not_keep_counts_as_the_most_there_can_be() -> None:
    agent = logic(rule(max_trades=10, max_notional="1000000"))
    state = agent.decode(V3_COUNTED)
    _, decision = asked(agent, state, 104, ONE)
    assert codes(decision) == ["THROTTLE_NOTIONAL"]
    assert decision.legs[0].retry_at_us == 105 * US_PER_S, "when the last unknown one has left the window"
    assert not codes(asked(agent, state, 105, ONE)[1])


def test_lists_of_version_3_that_do_not_match_count_as_the_most_there_can_be() -> None:
    plain = msgspec.msgpack.decode(V3_ALL)
    plain[9][0][4][0][2].pop()
    scope = logic(rule(max_trades=9)).decode(msgspec.msgpack.encode(plain)).slots[0].scope
    assert [notional for _, notional in scope.entries()] == 3 * [limits.MAX_NOTIONAL]


def test_a_limit_on_notional_that_comes_later_counts_what_was_entered_before() -> None:
    before, after = logic(rule(max_trades=10)), logic(rule(max_trades=10, max_notional="250"))
    state = before.origin("K")
    state, _ = asked(before, state, 30, ONE, 1)
    state = after.decode(before.encode(state))
    state, decision = asked(after, state, 31, ONE, 2)
    assert not codes(decision)
    _, decision = asked(after, state, 32, 3 * ONE, 3)
    assert (codes(decision), decision.legs[0].retry_at_us) == (["THROTTLE_NOTIONAL"], 0)
    _, decision = asked(after, state, 32, ONE, 3)
    assert (codes(decision), decision.legs[0].retry_at_us) == (["THROTTLE_NOTIONAL"], 90 * US_PER_S)


CONFIGURATIONS = st.lists(
    st.builds(
        rule,
        name=st.sampled_from(["t", "u"]),
        max_trades=st.sampled_from([0, 2, 3]),
        window_seconds=st.sampled_from([5, 20, 90]),
        max_notional=st.sampled_from(["0", "250", "600"]),
        cooldown_seconds=st.sampled_from([0, 4]),
        min_spacing_seconds=st.sampled_from([0, 2]),
        multiplier=st.sampled_from(["1", "1", "0.5", "0"]),
    ),
    max_size=2,
    unique_by=lambda throttle: throttle.name,
)
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 7), st.sampled_from(["s", "z"]), st.sampled_from([1, 1, 1, 0]), st.integers(1, 4)
    ),
    max_size=25,
)


@settings(max_examples=150)
@given(st.lists(st.tuples(CONFIGURATIONS, EVENTS), min_size=2, max_size=4))
def test_under_any_changes_of_throttles_a_stored_state_is_the_one_its_rows_add_up_to(
    chapters: list[tuple[list[schema.Throttle], list[tuple[int, str, int, int]]]],
) -> None:
    """So no window of the last configuration ever counts less than what really was entered."""
    rows: list[tuple[Signal, Decision, int]] = []
    entries: list[tuple[str, int, int]] = []
    data, seconds = None, 0
    for throttles, events in chapters:
        agent = logic(*throttles)
        state = agent.origin("K") if data is None else agent.decode(data)
        rebuilt = agent.origin("K")
        for seq, (event, decision, at_us) in enumerate(rows, 1):
            rebuilt = agent.apply(rebuilt, event, decision, key_seq=seq, at_us=at_us)
        assert rebuilt == state
        for after, name, side, quantity in events:
            seconds += after
            at_us = seconds * US_PER_S
            event = Signal("K", name, side, quantity * ONE, PRICE)
            state, decision = agent.step(state, event, key_seq=len(rows) + 1, at_us=at_us)
            rows.append((event, decision, at_us))
            for leg in decision.legs:
                if leg.intent == "entry" and not leg.reasons:
                    entries.append((name, at_us, leg.quantity * leg.price))
                    for throttle in throttles:
                        _holds(throttle, entries, name, at_us)
        data = agent.encode(state)
        assert agent.encode(agent.decode(data)) == data


def _holds(throttle: schema.Throttle, entries: list[tuple[str, int, int]], name: str, at_us: int) -> None:
    since_us = at_us - throttle.window_seconds * US_PER_S
    inside = [notional for who, when, notional in entries if who == name and when > since_us]
    share = float(throttle.multiplier)
    assert not throttle.max_trades or len(inside) <= throttle.max_trades * share
    cap = float(throttle.max_notional)
    assert not cap or sum(inside) <= cap * share * HUNDRED / 100


def test_a_strategy_only_signals_name_is_remembered_while_there_is_room() -> None:
    short, long = logic(rule(max_trades=1, window_seconds=1)), logic(rule(max_trades=1, window_seconds=900))
    state = short.origin("K")
    for index in range(limits.MAX_STRATEGIES_A_KEY + 3):
        for side in (BUY, 0):
            event = Signal("K", f"n{index}", side, ONE, PRICE)
            state, decision = short.step(state, event, key_seq=1, at_us=10 * index * US_PER_S)
            assert not codes(decision)
    assert [slot.name for slot in state.slots] == [f"n{i}" for i in range(3, limits.MAX_STRATEGIES_A_KEY + 3)]
    event = Signal("K", f"n{limits.MAX_STRATEGIES_A_KEY}", BUY, ONE, PRICE)
    state = long.decode(short.encode(state))
    _, decision = long.step(state, event, key_seq=1, at_us=700 * US_PER_S)
    assert codes(decision) == ["THROTTLE_WINDOW"]


@pytest.mark.parametrize("data", [b"", b"\xc0", V3_ALL[:-1], V3_ALL[:5]])
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        logic().decode(data)
