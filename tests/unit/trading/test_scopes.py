from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.backtest.engine import Engine
from pipeline.backtest.synthetic import synthetic
from pipeline.config import resolve, schema
from pipeline.errors import ConfigError
from pipeline.messages import BUY, Signal, Verdict, decode_decision, encode
from pipeline.trading.agent import AgentLogic
from pipeline.trading.plan import overridden
from pipeline.trading.reasons import code_of
from pipeline.trading.scopes import Ask, LastSeen, MemoryScopes, RecordedScopes
from pipeline.trading.throttle import compile_rule

MINUTE_US = 60_000_000
RULE = compile_rule(schema.Throttle(name="all", max_trades=2, window_seconds=60), 8)


def wide(per: Any, **rules: Any) -> schema.Trading:
    throttle = schema.Throttle(name="wide", per=per, **{"max_trades": 1, "window_seconds": 60, **rules})
    return schema.Trading(strategies={}, throttles=(throttle,))


def entries(trading: schema.Trading, *wishes: tuple[str, str, int]) -> list[list[str]]:
    """Each wish (strategy, symbol, time) to one agent; the codes that refuse it."""
    agent = AgentLogic(trading, "signal_price")
    states: dict[str, Any] = {}
    found = []
    for seq, (strategy, symbol, at_us) in enumerate(wishes, 1):
        state = states.get(symbol) or agent.origin(symbol)
        event = Signal(symbol, strategy, BUY, 10_000, 10_000)
        states[symbol], decision = agent.step(state, event, key_seq=seq, at_us=at_us)
        (leg,) = decision.legs
        outside = trading.throttles[0].over_symbols
        assert len(decision.inputs) == outside, "every answer from outside is recorded"
        assert (leg.verdict == Verdict.ORDERED) == (not leg.reasons)
        found.append([code_of(reason) for reason in leg.reasons])
    return found


FULL = ["THROTTLE_WINDOW"]


@pytest.mark.parametrize(
    ("per", "expected"),
    [
        ("symbol", [[], FULL, [], FULL]),
        ("strategy", [[], [], FULL, FULL]),
        ("global", [[], FULL, FULL, FULL]),
    ],
)
def test_a_count_is_shared_as_wide_as_its_throttle_says(per: str, expected: list[list[str]]) -> None:
    wishes = [("a", "K", 1), ("b", "K", 2), ("a", "L", 3), ("b", "L", 4)]
    assert entries(wide(per), *wishes) == expected


def test_a_window_opens_again_for_everybody() -> None:
    assert entries(wide("global"), ("a", "K", 0), ("b", "L", MINUTE_US - 1), ("b", "M", MINUTE_US)) == [
        [],
        FULL,
        [],
    ]


def test_the_most_specific_override_applies() -> None:
    both, strategy, symbol = (
        schema.Scope(strategy_id="s", symbol="K"), schema.Scope(strategy_id="s"), schema.Scope(symbol="K"),
    )  # fmt: skip
    throttle = schema.Throttle(
        name="t",
        max_trades=1,
        cooldown_seconds=9,
        overrides=tuple(
            schema.Override(scope=scope, max_trades=trades)
            for scope, trades in ((both, 5), (strategy, 4), (symbol, 3), (schema.Scope(), 2))
        ),
    )
    found = [overridden(throttle, name, key).max_trades for name in ("s", "x") for key in ("K", "L")]
    assert found == [5, 4, 3, 2]
    assert overridden(throttle, "s", "K").cooldown_seconds == 9


def test_an_override_of_a_symbol_reaches_its_key() -> None:
    override = schema.Override(scope=schema.Scope(symbol="L"), max_trades=2)
    trading = wide("symbol", overrides=(override,))
    assert entries(trading, ("a", "K", 1), ("b", "K", 2), ("a", "L", 3), ("b", "L", 4)) == [[], FULL, [], []]


def ask(seq: int, now_us: int, take: bool = True, leg: int = 0) -> Ask:
    return Ask("K", seq, leg, now_us, 0, (("all", ""),), (RULE,), take)


@given(st.lists(st.integers(0, 45), max_size=40))
def test_no_window_ever_holds_more_than_it_may_and_answers_stand(steps: list[int]) -> None:
    scopes, now_us = MemoryScopes(), 0
    granted: list[int] = []
    for seq, forward_s in enumerate(steps):
        now_us += forward_s * 1_000_000
        inside = sum(time_us > now_us - MINUTE_US for time_us in granted)
        grant = scopes.ask(ask(seq, now_us))
        assert (not grant.reasons) == (inside < 2)
        assert scopes.ask(ask(seq, now_us + MINUTE_US)) == grant, "the first answer stands"
        if grant.reasons:
            assert grant.retry_at_us == granted[-2] + MINUTE_US
        else:
            granted.append(now_us)


def test_what_is_only_judged_takes_nothing() -> None:
    scopes = MemoryScopes()
    for seq in range(5):
        assert not scopes.ask(ask(seq, 0, take=False)).reasons
    assert not scopes.ask(ask(9, 0)).reasons


def test_all_scopes_or_none_are_taken() -> None:
    scopes = MemoryScopes()
    other = (("all", ""), ("one", "K"))
    tight = compile_rule(schema.Throttle(name="one", max_trades=1, window_seconds=60), 8)
    assert not scopes.ask(Ask("K", 1, 0, 0, 0, other, (RULE, tight))).reasons
    assert scopes.ask(Ask("K", 2, 0, 0, 0, other, (RULE, tight))).reasons
    assert not scopes.ask(ask(3, 0)).reasons, "the refused one took nothing of the wide window"


def test_exits_start_a_wide_cooldown() -> None:
    scopes = MemoryScopes()
    cool = compile_rule(schema.Throttle(name="c", cooldown_seconds=60), 8)
    scopes.left(Ask("K", 7, 0, 0, 0, (("c", ""),), (cool,)))
    scopes.left(Ask("K", 7, 0, 5, 0, (("c", ""),), (cool,)))  # decided again: it was one exit
    refused = scopes.ask(Ask("K", 1, 0, MINUTE_US - 1, 0, (("c", ""),), (cool,)))
    assert (len(refused.reasons), refused.retry_at_us) == (1, MINUTE_US)
    assert not scopes.ask(Ask("K", 2, 0, MINUTE_US, 0, (("c", ""),), (cool,))).reasons


def test_answers_are_remembered_up_to_a_bound() -> None:
    scopes = MemoryScopes()
    for seq in range(limits.MAX_SCOPE_ANSWERS + 1):
        scopes.ask(ask(seq, 0, take=False))
    assert len(scopes._given) == limits.MAX_SCOPE_ANSWERS


def test_a_replay_with_the_recorded_answers_decides_the_same() -> None:
    trading = wide("global")
    live = AgentLogic(trading, "signal_price")
    recorded = RecordedScopes()
    rows = []
    for seq, symbol in enumerate(["K", "L"], 1):
        event = Signal(symbol, "s", BUY, 10_000, 10_000)
        _, decision = live.step(live.origin(symbol), event, key_seq=seq, at_us=seq)
        assert decode_decision(encode(decision)) == decision
        recorded.add(symbol, seq, decision.inputs)
        rows.append((symbol, seq, event, decision))
    again = AgentLogic(trading, "signal_price", scopes=recorded)
    for symbol, seq, event, decision in reversed(rows):
        assert again.step(again.origin(symbol), event, key_seq=seq, at_us=seq)[1] == decision


def test_a_run_knows_nothing_of_what_the_run_before_it_entered() -> None:
    throttle = schema.Throttle(name="g", per="global", max_trades=1, window_seconds=30 * 86_400)
    trading = schema.Trading(throttles=(throttle,))
    engine = Engine(trading, schema.Exec())
    # Other symbols, so that no answer of the first run is an answer to the second.
    first = engine.run({"A": synthetic("A", 3_000, 1)})
    second = engine.run({"B": synthetic("B", 3_000, 1)})
    assert first.records["A"].orders
    assert [(row, fill.price) for row, fill in second.records["B"].fills] == [
        (row, fill.price) for row, fill in first.records["A"].fills
    ]


def test_of_candles_at_one_time_those_of_the_first_symbol_come_first() -> None:
    throttle = schema.Throttle(name="g", per="global", max_trades=1, window_seconds=300 * 86_400)
    engine = Engine(schema.Trading(throttles=(throttle,)), schema.Exec())
    series = {symbol: synthetic(symbol, 3_000, 1) for symbol in ("BA", "AZ")}
    records = engine.run(series).records
    assert records["AZ"].orders
    assert not records["BA"].orders


def test_a_backtest_with_a_count_over_all_symbols_takes_candles_in_the_order_of_time() -> None:
    throttle = schema.Throttle(name="g", per="global", max_trades=1, window_seconds=86_400)
    trading = schema.Trading(throttles=(throttle,))
    engine = Engine(trading, schema.Exec())
    series = {symbol: synthetic(symbol, 3_000, seed) for seed, symbol in enumerate("AB")}
    first = engine.run(series)
    entered = sorted(
        int(series[symbol].time_us[fill.order_seq - 1])
        for symbol, record in first.records.items()
        for _, fill in record.fills
        if fill.side > 0
    )
    assert len(entered) >= 2
    assert all(later - earlier >= 86_400_000_000 for earlier, later in pairwise(entered))
    assert engine.run(series).digest == first.digest


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"per": "everyone"}, "per"),
        ({"window_seconds": 0}, "window_seconds"),
        ({"max_trades": -1}, "max_trades"),
        ({"max_notional": "NaN"}, "max_notional"),
        ({"overrides": [{"scope": {}, "multiplier": "2"}]}, "overrides[0].multiplier = '2': allowed: 0 to 1"),
        ({"overrides": [{"scope": {}, "max_notional": "-1"}]}, "overrides[0].max_notional = '-1': must not"),
        ({"per": "global", "overrides": [{"scope": {"symbol": "K"}}]}, "a count per global knows no symbols"),
        ({"per": "symbol", "overrides": [{"scope": {"strategy_id": "s"}}]}, "per symbol knows no strategies"),
    ],
)
def test_impossible_throttles_are_refused_by_name(tree: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve({"trading": {"throttles": [{"name": "t", **tree}]}})
    assert message in str(caught.value)


def test_a_count_over_all_symbols_needs_one_agent() -> None:
    throttles = [{"name": "g", "per": "global", "max_trades": 1}]
    with pytest.raises(ConfigError, match=r"agent\.workers = 2: throttle g counts over all symbols"):
        resolve({"trading": {"throttles": throttles}, "agent": {"workers": 2}})
    shared = resolve({"trading": {"throttles": throttles}, "agent": {"workers": 2, "scopes": "redis"}})
    assert shared.agent.scopes == "redis"


def test_notionals_of_symbols_with_other_scales_add_up_as_they_are_written() -> None:
    coarse = schema.Instrument(price_scale=0, quantity_scale=0, tick="1", lot="1")
    throttle = schema.Throttle(name="wide", per="global", max_notional="300", window_seconds=60)
    trading = schema.Trading(
        instruments={"default": schema.Instrument(), "C": coarse}, strategies={}, throttles=(throttle,)
    )
    agent = AgentLogic(trading, "signal_price")

    def buy(symbol: str, seq: int, quantity: int, price: int) -> tuple[str, ...]:
        event = Signal(symbol, "s", BUY, quantity, price)
        _, decision = agent.step(agent.origin(symbol), event, key_seq=seq, at_us=0)
        return decision.legs[0].reasons

    assert buy("A", 1, 10_000, 1_000_000) == (), "1 at 100"
    assert buy("C", 2, 1, 150) == (), "1 at 150"
    (reason,) = buy("A", 3, 10_000, 600_000)
    assert reason.startswith("THROTTLE_NOTIONAL: limit=300 used=250 wanted=60 ")


def bought(agent: AgentLogic, wishes: list[tuple[str, str, int]]) -> dict[str, Any]:
    """The states of all keys after entries of 1 at 1 (strategy, symbol, second)."""
    states: dict[str, Any] = {}
    for seq, (strategy, symbol, second) in enumerate(wishes, 1):
        state = states.get(symbol) or agent.origin(symbol)
        event = Signal(symbol, strategy, BUY, 10_000, 10_000)
        after, decision = agent.step(state, event, key_seq=seq, at_us=second * 1_000_000)
        again = AgentLogic(wide("global"), "signal_price")
        assert again.apply(state, event, decision, key_seq=seq, at_us=second * 1_000_000) == after
        assert agent.decode(agent.encode(after)) == after
        states[symbol] = after
    return states


@pytest.mark.parametrize(
    ("per", "scope", "used"),
    [
        ("strategy", {"strategy_id": "b", "symbol": None}, 2),
        ("global", {"strategy_id": None, "symbol": None}, 4),
    ],
)
def test_a_wide_scope_shows_what_it_held_when_its_key_last_asked(per: str, scope: Any, used: int) -> None:
    agent = AgentLogic(wide(per, max_trades=5, max_notional="8"), "signal_price")
    states = bought(agent, [("a", "K", 1), ("b", "L", 2), ("a", "L", 3), ("b", "K", 4)])
    (shown,) = [one for one in agent.throttle_scopes(states["K"]) if one["scope"] == scope]
    assert shown["name"] == "wide"
    assert (shown["state"], shown["message"], shown["retry_at"]) == ("open", "", None)
    assert (shown["used_trades"], shown["remaining_trades"]) == (used, 5 - used)
    assert shown["window_utilisation"] == used / 5
    assert shown["throttle_consumed_notional"] == str(used)
    assert shown["throttle_remaining_notional"] == str(8 - used)
    assert shown["throttle_notional_utilisation"] == used / 8
    assert shown["as_of"] == "1970-01-01T00:00:04+00:00"


def test_a_wide_scope_that_is_full_says_so_and_until_when_after_the_entry_that_filled_it() -> None:
    agent = AgentLogic(wide("global"), "signal_price")
    (shown,) = agent.throttle_scopes(bought(agent, [("a", "K", 3)])["K"])
    assert (shown["state"], shown["remaining_trades"]) == ("rate_limited", 0)
    assert shown["retry_at"] == "1970-01-01T00:01:03+00:00"
    assert shown["message"] == "Throttled: too many trades in short time (limit 1 trade per 1 minute)"
    (denied,) = agent.throttle_scopes(bought(agent, [("a", "K", 3), ("b", "K", 5)])["K"])
    assert (denied["retry_at"], denied["used_trades"]) == (shown["retry_at"], 1)
    other = AgentLogic(schema.Trading(strategies={}, throttles=()), "signal_price")
    assert other.throttle_scopes(bought(agent, [("a", "K", 3)])["K"]) == []


def shown_after(trading: schema.Trading, *strategies: str) -> dict[str, Any]:
    """The wide scope's payload after an entry of 1 at 100 by each of them; rebuilding ends in the same."""
    agent = AgentLogic(trading, "signal_price")
    state = agent.origin("K")
    for seq, strategy in enumerate(strategies, 1):
        event = Signal("K", strategy, BUY, 10_000, 1_000_000)
        after, decision = agent.step(state, event, key_seq=seq, at_us=seq * 1_000_000)
        assert agent.apply(state, event, decision, key_seq=seq, at_us=seq * 1_000_000) == after
        state = agent.decode(agent.encode(after))
    (shown,) = agent.throttle_scopes(state)
    return shown


def of_a(**limits_: Any) -> tuple[schema.Override, ...]:
    return (schema.Override(scope=schema.Scope(strategy_id="A"), **limits_),)


def test_a_wide_scope_shows_the_limits_of_the_rule_that_judged_it() -> None:
    few = wide("global", max_trades=5, overrides=of_a(max_trades=1))
    shown = shown_after(few, "A", "A")
    assert shown["reasons"] == ["THROTTLE_WINDOW: limit=1 window_seconds=60 throttle=wide"]
    assert shown["message"] == "Throttled: too many trades in short time (limit 1 trade per 1 minute)"
    assert (shown["state"], shown["max_trades"], shown["remaining_trades"]) == ("rate_limited", 1, 0)
    assert (shown["window_utilisation"], shown["asked_by"]) == (1.0, "A")
    shown = shown_after(few, "A", "A", "B")
    assert (shown["state"], shown["max_trades"], shown["remaining_trades"]) == ("open", 5, 3)
    assert shown["asked_by"] == "B"


def test_a_wide_scope_that_an_override_halts_has_nothing_left() -> None:
    shown = shown_after(wide("global", max_trades=5, overrides=of_a(multiplier="0")), "A")
    assert (shown["state"], shown["max_trades"], shown["remaining_trades"]) == ("halted", 0, 0)


def test_a_wide_scope_shows_the_notional_and_the_window_of_the_rule_that_judged_it() -> None:
    overrides = of_a(max_notional="100", window_seconds=3600)
    shown = shown_after(wide("strategy", max_trades=5, max_notional="1000", overrides=overrides), "A", "A")
    assert shown["message"] == "Throttled: too much notional in short time (limit 100 per 1 hour)"
    assert shown["throttle_remaining_notional"] == "0"


def test_of_what_an_older_worker_kept_of_a_wide_scope_the_strategy_is_unknown() -> None:
    few = wide("strategy", max_trades=5, overrides=of_a(max_trades=1))
    agent = AgentLogic(few, "signal_price")
    kept = msgspec.structs.replace(agent.origin("K"), wide=(LastSeen("wide", "A", 1),))
    (shown,) = agent.throttle_scopes(kept)
    assert (shown["max_trades"], shown["asked_by"]) == (1, None), "a count per strategy has its override"
    plain = msgspec.msgpack.decode(agent.encode(kept))
    assert agent.decode(msgspec.msgpack.encode(plain)) == kept
    plain[12][0].pop()
    assert agent.decode(msgspec.msgpack.encode(plain)) == kept


def test_scopes_a_key_has_asked_are_kept_up_to_a_bound_the_latest_first() -> None:
    agent = AgentLogic(wide("strategy"), "signal_price")
    names = [f"n{index}" for index in range(limits.MAX_SEEN_SCOPES + 5)]
    state = agent.origin("K")
    for seq, name in enumerate(names, 1):
        state, _ = agent.step(state, Signal("K", name, BUY, 10_000, 10_000), key_seq=seq, at_us=seq)
        state, _ = agent.step(state, Signal("K", name, 0, 0, 10_000), key_seq=seq, at_us=seq)
    assert [seen.counted for seen in state.wide] == names[: -limits.MAX_SEEN_SCOPES - 1 : -1]


def test_an_answer_that_an_older_worker_recorded_is_read() -> None:
    recorded = RecordedScopes()
    recorded.add("K", 1, ['[0,["THROTTLE_WINDOW: limit=1 window_seconds=60 throttle=all"],60000000]'])
    grant = recorded.ask(ask(1, 0))
    assert (grant.retry_at_us, grant.seen) == (MINUTE_US, ())


@pytest.mark.parametrize("turned", [False, True])
def test_an_override_of_a_strategy_is_more_specific_than_one_of_a_symbol(turned: bool) -> None:
    overrides = (
        schema.Override(scope=schema.Scope(strategy_id="s"), max_trades=7),
        schema.Override(scope=schema.Scope(symbol="K"), max_trades=8),
    )
    throttle = schema.Throttle(name="t", overrides=overrides[::-1] if turned else overrides)
    assert overridden(throttle, "s", "K").max_trades == 7


def test_of_equally_specific_overrides_the_last_applies() -> None:
    for scope in (
        schema.Scope(),
        schema.Scope(symbol="K"),
        schema.Scope(strategy_id="s"),
        schema.Scope(strategy_id="s", symbol="K"),
    ):
        overrides = tuple(schema.Override(scope=scope, max_trades=most) for most in (7, 8, 9))
        throttle = schema.Throttle(name="t", max_trades=1, overrides=overrides)
        assert overridden(throttle, "s", "K").max_trades == 9


def both(narrow: dict[str, Any], outer: dict[str, Any]) -> AgentLogic:
    throttles = (
        schema.Throttle(name="narrow", **narrow),
        schema.Throttle(name="wide", per="global", **outer),
    )
    return AgentLogic(schema.Trading(strategies={}, throttles=throttles), "signal_price")


def legs(agent: AgentLogic, *wishes: tuple[str, str, int, int]) -> list[tuple[list[str], int]]:
    """Each wish (strategy, symbol, second, quantity): the codes that refuse it and when to try again, s."""
    states: dict[str, Any] = {}
    found = []
    for seq, (strategy, symbol, second, quantity) in enumerate(wishes, 1):
        state = states.get(symbol) or agent.origin(symbol)
        event = Signal(symbol, strategy, BUY, quantity * 10_000, 10_000)
        states[symbol], decision = agent.step(state, event, key_seq=seq, at_us=second * 1_000_000)
        (leg,) = decision.legs
        found.append(([code_of(reason) for reason in leg.reasons], leg.retry_at_us // 1_000_000))
    return found


def test_what_a_narrower_rule_refuses_takes_nothing_of_the_wide_one() -> None:
    agent = both({"max_trades": 1, "window_seconds": 900}, {"max_trades": 2, "window_seconds": 60})
    wishes = [("a", "K", 0, 1), *[("a", "K", second, 1) for second in range(1, 6)], ("b", "K", 9, 1)]
    found = legs(agent, *wishes, ("c", "L", 10, 1))
    assert found[0] == ([], 0)
    assert found[1:6] == [(["THROTTLE_WINDOW"], 900)] * 5
    assert found[6:] == [([], 0), (["THROTTLE_WINDOW"], 60)]


def test_what_both_refuse_passes_when_the_later_of_them_does_and_never_if_one_never_does() -> None:
    hour, minute = {"max_trades": 1, "window_seconds": 3600}, {"max_trades": 1, "window_seconds": 60}
    twice = [("a", "K", 5, 1), ("a", "K", 7, 1)]
    assert legs(both(hour, minute), *twice)[1] == (["THROTTLE_WINDOW"] * 2, 3605)
    assert legs(both(minute, hour), *twice)[1] == (["THROTTLE_WINDOW"] * 2, 3605)
    little = {"max_notional": "3", "window_seconds": 60}
    large = ("a", "K", 5, 4)
    assert legs(both(little, minute), ("b", "K", 1, 1), large)[1] == (
        ["THROTTLE_NOTIONAL", "THROTTLE_WINDOW"],
        0,
    )
    assert legs(both(minute, little), ("a", "K", 1, 1), large)[1] == (
        ["THROTTLE_WINDOW", "THROTTLE_NOTIONAL"],
        0,
    )


def test_a_wide_scope_never_goes_back_in_time_and_remembers_of_several_rules_the_worst() -> None:
    never = compile_rule(schema.Throttle(name="n", multiplier="0"), 8)
    scopes = MemoryScopes()
    later = compile_rule(schema.Throttle(name="l", max_trades=1, window_seconds=9), 8)
    names = (("n", ""), ("l", ""))
    assert not scopes.ask(Ask("K", 1, 0, 20_000_000, 0, (("l", ""),), (later,))).reasons
    for order in ((0, 1), (1, 0)):
        rules = tuple((never, later)[at] for at in order)
        grant = scopes.ask(Ask("K", 2 + order[0], 0, 21_000_000, 0, tuple(names[at] for at in order), rules))
        assert (len(grant.reasons), grant.retry_at_us) == (2, 0)
    slow = scopes.ask(Ask("L", 1, 0, 3_000_000, 0, (("l", ""),), (later,)))
    assert (len(slow.reasons), slow.retry_at_us) == (1, 29_000_000)
    other = MemoryScopes()
    assert not other.ask(Ask("K", 1, 0, 20_000_000, 0, (("l", ""),), (later,))).reasons
    other.ask(Ask("K", 2, 0, 40_000_000, 0, (("l", ""),), (later,), take=False))
    assert not other.ask(Ask("L", 1, 0, 25_000_000, 0, (("l", ""),), (later,))).reasons, (
        "its clock is at 40 s"
    )


def test_a_leg_that_risk_refuses_promises_no_time_although_a_throttle_refuses_it_too() -> None:
    throttle = schema.Throttle(name="t", max_trades=1, window_seconds=60)
    agent = AgentLogic(
        schema.Trading(strategies={}, throttles=(throttle,), risk=schema.Risk(max_order="3")), "signal_price"
    )
    found = legs(agent, ("a", "K", 0, 1), ("a", "K", 1, 4), ("a", "K", 2, 3))
    assert found[1] == (["RISK_MAX_ORDER", "THROTTLE_WINDOW"], 0), "in a minute risk would still refuse it"
    assert found[2] == (["THROTTLE_WINDOW"], 60)
