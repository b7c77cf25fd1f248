"""Throttles that count all strategies of one symbol: their memory is the key's, and of no one else's."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline import limits
from pipeline.clock import US_PER_S
from pipeline.config import resolve, schema
from pipeline.messages import BUY, Control, Decision, Event, Signal, Verdict
from pipeline.trading.agent import AgentLogic
from pipeline.trading.reasons import code_of
from pipeline.trading.state import NO_LAG_YET, State
from pipeline.trading.throttle_memory import together

ONE = 10_000


def trading(**rules: Any) -> schema.Trading:
    throttle = schema.Throttle(**{"name": "key", "per": "symbol", "window_seconds": 3600, **rules})
    return schema.Trading(strategies={}, throttles=(throttle,))


class Key:
    """One key; each event is decided by an agent that never saw it and has its bytes."""

    def __init__(self, settings: schema.Trading) -> None:
        self.settings = settings
        self.data = self.agent().encode(self.agent().origin("K"))
        self.seq = 0

    def agent(self) -> AgentLogic:
        return AgentLogic(self.settings, "signal_price")

    @property
    def state(self) -> State:
        return self.agent().decode(self.data)

    def tell(self, event: Event, second: int) -> Decision:
        self.seq += 1
        agent = self.agent()
        after, decision = agent.step(self.state, event, key_seq=self.seq, at_us=second * US_PER_S)
        assert not decision.inputs, "nobody else was asked"
        self.data = agent.encode(after)
        return decision

    def buy(self, name: str, second: int, quantity: int = 1) -> tuple[list[str], int]:
        (leg,) = self.tell(Signal("K", name, BUY, quantity * ONE, ONE), second).legs
        return [code_of(reason) for reason in leg.reasons], leg.retry_at_us // US_PER_S

    def close(self, name: str, second: int) -> None:
        (leg,) = self.tell(Signal("K", name, 0, 0, ONE), second).legs
        assert leg.verdict == Verdict.ORDERED


def test_one_count_of_all_strategies_outlives_every_agent() -> None:
    key = Key(trading(max_trades=2, max_notional="5"))
    assert key.buy("a", 1) == ([], 0)
    assert key.buy("b", 2, 3) == ([], 0)
    assert key.buy("c", 3, 2) == (["THROTTLE_WINDOW", "THROTTLE_NOTIONAL"], 3601)
    assert key.buy("c", 3601, 2) == ([], 0)


@pytest.mark.parametrize("own_never", [False, True])
def test_what_its_own_throttle_or_the_symbols_never_lets_pass_is_promised_no_time(own_never: bool) -> None:
    few: dict[str, Any] = {"max_trades": 1, "window_seconds": 60}
    little: dict[str, Any] = {"max_notional": "3", "window_seconds": 60}
    own, shared = (little, few) if own_never else (few, little)
    throttles = (schema.Throttle(name="own", **own), schema.Throttle(name="key", per="symbol", **shared))
    key = Key(schema.Trading(strategies={}, throttles=throttles))
    assert key.buy("a", 1) == ([], 0)
    reasons, retry_s = key.buy("a", 2, 4)
    assert sorted(reasons) == ["THROTTLE_NOTIONAL", "THROTTLE_WINDOW"]
    assert retry_s == 0
    assert key.buy("a", 2, 1) == (["THROTTLE_WINDOW"], 61)


@pytest.mark.parametrize("how", ["close", "flatten"])
def test_an_exit_of_one_strategy_starts_the_cooldown_of_all(how: str) -> None:
    key = Key(trading(cooldown_seconds=60))
    key.buy("a", 1)
    if how == "close":
        key.close("a", 5)
    else:
        key.buy("b", 2)
        key.tell(Control("flatten", ""), 5)
        key.tell(Control("resume", ""), 63)
    assert key.buy("c", 64) == (["THROTTLE_COOLDOWN"], 65)
    assert key.buy("c", 65) == ([], 0)


@pytest.mark.parametrize("per", ["global", "strategy"])
def test_what_is_set_for_one_symbol_only_is_its_keys_own_too(per: Any) -> None:
    key = Key(trading(per=per, scope=schema.Scope(symbol="K"), max_trades=1))
    assert key.buy("a", 1) == ([], 0)
    assert key.buy("a", 2) == (["THROTTLE_WINDOW"], 3601)
    assert key.buy("b", 3) == ((["THROTTLE_WINDOW"], 3601) if per == "global" else ([], 0))


def test_what_counts_one_strategy_only_does_not_count_another() -> None:
    key = Key(trading(scope=schema.Scope(strategy_id="a"), max_trades=1))
    assert key.buy("b", 1) == ([], 0)
    assert key.buy("a", 2) == ([], 0)
    assert key.buy("a", 3) == (["THROTTLE_WINDOW"], 3602)
    (shown,) = [one for one in key.agent().throttle_scopes(key.state) if one["remaining_trades"] == 0]
    assert shown["scope"] == {"strategy_id": "a", "symbol": "K"}


def test_a_throttle_that_comes_later_counts_what_all_strategies_entered_before() -> None:
    key = Key(schema.Trading(strategies={}, throttles=()))
    for second, name in enumerate("abc"):
        key.buy(name, second)
    key.settings = trading(max_trades=3)
    assert key.buy("d", 4) == (["THROTTLE_WINDOW"], 3600)


def test_it_is_shown_with_what_remains_before_and_after_entries() -> None:
    key = Key(trading(max_trades=2, max_notional="5"))
    (shown,) = key.agent().throttle_scopes(key.state)
    assert (shown["name"], shown["scope"]) == ("key", {"strategy_id": None, "symbol": "K"})
    assert (shown["state"], shown["remaining_trades"]) == ("open", 2)
    key.buy("a", 1)
    key.buy("b", 2, 3)
    (shown,) = key.agent().throttle_scopes(key.state)
    assert (shown["state"], shown["remaining_trades"]) == ("rate_limited", 0)
    assert shown["window_utilisation"] == 1.0
    assert shown["throttle_remaining_notional"] == "1"
    assert shown["retry_at"] == "1970-01-01T01:00:01+00:00"


def test_it_is_shown_as_it_is_for_a_strategy_with_limits_of_its_own() -> None:
    few = schema.Override(scope=schema.Scope(strategy_id="a"), max_trades=1)
    key = Key(trading(max_trades=5, overrides=(few,)))
    key.buy("a", 1)
    key.buy("b", 2)
    of_all, of_a = key.agent().throttle_scopes(key.state)
    assert (of_all["remaining_trades"], of_all["state"]) == (3, "open")
    assert (of_a["asked_by"], of_a["remaining_trades"], of_a["state"]) == ("a", 0, "rate_limited")
    assert key.buy("a", 3) == (["THROTTLE_WINDOW"], 3602)


def v4(data: bytes) -> bytes:
    """As version 4 wrote it: without the last two fields."""
    return msgspec.msgpack.encode(msgspec.msgpack.decode(data)[:-2])


def test_a_state_of_version_4_counts_what_its_strategies_remember() -> None:
    key = Key(trading(max_trades=3, cooldown_seconds=10))
    key.buy("b", 1)
    key.buy("a", 2)
    key.close("b", 2)
    before = msgspec.structs.replace(key.state, lag_us=NO_LAG_YET)
    key.data = v4(key.data)
    assert key.state == before
    assert key.buy("a", 11) == (["THROTTLE_COOLDOWN"], 12)
    assert key.buy("b", 12) == ([], 0)
    assert key.buy("a", 22) == (["THROTTLE_WINDOW"], 3601)


def test_a_worker_of_version_4_reads_the_bytes_up_to_its_own_last_field() -> None:
    class Old(msgspec.Struct, frozen=True, array_like=True):
        """Version 4's, as far as arrays go."""

        head: str
        rest: tuple[Any, ...] = ()

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(("K", (), 5)), type=Old) == Old("K", ())


def test_together_is_written_only_where_it_is_more_than_the_strategies_remember() -> None:
    key = Key(trading(max_trades=900))
    for second in range(40):
        key.buy("ab"[second % 2], second)
    assert msgspec.msgpack.decode(key.data)[-2] == []
    assert key.state.scope == together(slot.scope for slot in key.state.slots)


def test_what_a_strategy_entered_that_had_to_go_still_counts() -> None:
    names = [f"n{index}" for index in range(limits.MAX_STRATEGIES_A_KEY + 1)]
    most = len(names)
    key = Key(trading(max_trades=most, window_seconds=86_400))
    for second, name in enumerate(names):
        assert key.buy(name, 2 * second) == ([], 0)
        key.close(name, 2 * second + 1)
    assert names[0] not in [slot.name for slot in key.state.slots]
    assert msgspec.msgpack.decode(key.data)[-1] != []
    assert key.agent().encode(key.state) == key.data
    assert key.buy(names[1], 2 * most) == (["THROTTLE_WINDOW"], 86_400)
    assert key.buy(names[1], 86_400) == ([], 0)


def test_several_agents_need_no_store_for_it() -> None:
    throttles = [{"name": "key", "per": "symbol", "max_trades": 1}]
    assert resolve({"trading": {"throttles": throttles}, "agent": {"workers": 4}}).agent.workers == 4
    one = [{"name": "key", "per": "global", "max_trades": 1, "scope": {"symbol": "K"}}]
    assert resolve({"trading": {"throttles": one}, "agent": {"workers": 4}}).agent.scopes == "memory"
