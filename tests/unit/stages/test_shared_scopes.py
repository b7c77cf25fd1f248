"""Wide throttles of several agents: the same answers as one agent's memory, closed in doubt."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from forgetful_desk import ForgetfulDesk
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import Redis, running_redis
from throttle_oracle import HISTORIES, Wish, throttles

from pipeline import limits
from pipeline.clock import NS_PER_MS
from pipeline.config import resolve, schema
from pipeline.errors import MissingError
from pipeline.messages import BUY, Control, Signal, Verdict
from pipeline.stages.shared_scopes import SharedScopes
from pipeline.storage.scopes import MemoryScopeStore, ScopeStore
from pipeline.storage.scopes.engines import find_url, open_scopes
from pipeline.storage.scopes.redis import RedisScopeStore
from pipeline.trading.agent import AgentLogic
from pipeline.trading.reasons import code_of
from pipeline.trading.scopes import Ask, Grant, MemoryScopes, Scopes
from pipeline.trading.throttle import Rule, compile_rule

S_US = 1_000_000
UNKNOWN = "THROTTLE_UNKNOWN: throttle=wide"


class Time:
    """Monotonic, moved by the test."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def shared(store: ScopeStore, now: Time | None = None) -> SharedScopes:
    return SharedScopes(lambda: store, now or Time())


def rule(**given: Any) -> Rule:
    return compile_rule(schema.Throttle(name="wide", **given), 8)


def ask(seq: int, now_s: int, *rules: Rule, key: str = "K", take: bool = True, notional: int = 0) -> Ask:
    rules = rules or (rule(max_trades=1, window_seconds=60),)
    scopes = tuple((one.name, "") for one in rules)
    return Ask(key, seq, 0, now_s * S_US, notional, scopes, rules, take)


def rules_named(name: str) -> st.SearchStrategy[Rule]:
    return st.builds(
        lambda trades, window, spacing, cooldown, notional, multiplier: compile_rule(
            schema.Throttle(
                name=name,
                max_trades=trades,
                window_seconds=window,
                min_spacing_seconds=spacing,
                cooldown_seconds=cooldown,
                max_notional=str(notional),
                multiplier=multiplier,
            ),
            2,
        ),
        st.integers(0, 3),
        st.integers(1, 20),
        st.integers(0, 5),
        st.integers(0, 5),
        st.integers(0, 9),
        st.sampled_from(["1", "1", "1", "0.5", "0"]),
    )


QUESTIONS = st.lists(
    st.tuples(
        st.sampled_from([slice(0, 1), slice(1, 2), slice(0, 2)]),
        st.tuples(st.integers(0, 2), st.integers(0, 2)),
        st.sampled_from("KL"),
        st.integers(0, 30),
        st.integers(0, 900),
        st.sampled_from(["enter", "enter", "judge", "leave"]),
    ),
    max_size=30,
)
Settings = tuple[list[Rule], list[Rule]]
SETTINGS = st.tuples(*(st.lists(rules_named(name), min_size=3, max_size=3) for name in "ab"))
"""Of each throttle, three rules that one count is asked under: overrides, or a configuration that changed."""


def asked(rules: Settings, questions: list[Any]) -> Iterator[tuple[str, Ask]]:
    for seq, (part, which, key, now_s, notional, what) in enumerate(questions, 1):
        both = (rules[0][which[0]], rules[1][which[1]])
        yield what, ask(seq, now_s, *both[part], key=key, take=what == "enter", notional=notional)


def assert_alike(memory: Scopes, store: Scopes, rules: Settings, questions: list[Any]) -> None:
    for what, question in asked(rules, questions):
        if what == "leave":
            memory.left(question)
            store.left(question)
        else:
            assert store.ask(question) == memory.ask(question)


@given(SETTINGS, QUESTIONS)
def test_a_store_and_one_agents_memory_answer_every_question_alike_under_whatever_rules(
    rules: Settings, questions: list[Any]
) -> None:
    assert_alike(MemoryScopes(), shared(MemoryScopeStore()), rules, questions)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with running_redis() as server:
        yield server.url


@settings(max_examples=60, deadline=None)
@given(SETTINGS, QUESTIONS)
def test_redis_too_answers_every_question_as_one_agents_memory_does(
    redis_url: str, rules: Settings, questions: list[Any]
) -> None:
    store = RedisScopeStore.open(redis_url, uuid.uuid4().hex)
    assert_alike(MemoryScopes(), shared(store), rules, questions)
    store.close()


@settings(max_examples=100, deadline=None)
@given(throttles(), HISTORIES, st.integers(0, 2**30))
def test_over_a_store_forgetful_agents_answer_what_counting_all_entries_says(
    configured: tuple[schema.Throttle, ...], history: list[Wish], seed: int
) -> None:
    store = MemoryScopeStore()
    agents = cycle([shared(store) for _ in range(3)])
    ForgetfulDesk(configured, lambda: next(agents), seed).run(history)


@settings(max_examples=40, deadline=None)
@given(throttles(), HISTORIES, st.integers(0, 2**30))
def test_over_redis_forgetful_agents_answer_what_counting_all_entries_says(
    redis_url: str, configured: tuple[schema.Throttle, ...], history: list[Wish], seed: int
) -> None:
    prefix = uuid.uuid4().hex
    stores = [RedisScopeStore.open(redis_url, prefix) for _ in range(2)]
    agents = cycle([shared(store) for store in stores])
    ForgetfulDesk(configured, lambda: next(agents), seed).run(history)
    for store in stores:
        store.close()


@pytest.fixture(params=["agent", "memory", "redis"])
def scopes(request: pytest.FixtureRequest) -> Iterator[Scopes]:
    """What counts wide throttles: an agent by itself, and stores of several."""
    if request.param == "agent":
        yield MemoryScopes()
        return
    store: ScopeStore = MemoryScopeStore()
    if request.param == "redis":
        store = RedisScopeStore.open(request.getfixturevalue("redis_url"), uuid.uuid4().hex)
    yield shared(store)
    store.close()


def refusals(scopes: Scopes, *asked: tuple[Rule, int]) -> list[list[str]]:
    """The codes that refuse one entry after the other, each under its rule at its second."""
    grants = [scopes.ask(ask(seq, now_s, one)) for seq, (one, now_s) in enumerate(asked, 1)]
    return [[code_of(reason) for reason in grant.reasons] for grant in grants]


WINDOW = ["THROTTLE_WINDOW"]


def test_what_asks_under_a_shorter_window_takes_nothing_out_of_a_longer_one(scopes: Scopes) -> None:
    long, short = rule(max_trades=3, window_seconds=3600), rule(max_trades=3, window_seconds=60)
    found = refusals(scopes, (long, 0), (long, 1), (long, 2), (short, 100), (long, 101))
    assert found == [[], [], [], [], WINDOW]


def test_a_lengthened_window_counts_what_a_shorter_one_had_let_go(scopes: Scopes) -> None:
    short, long = rule(max_trades=3, window_seconds=60), rule(max_trades=3, window_seconds=3600)
    assert refusals(scopes, *[(short, now_s) for now_s in (0, 1, 2, 70)], (long, 71))[-1] == WINDOW


def test_a_limit_counts_what_was_entered_before_there_was_one(scopes: Scopes) -> None:
    spaced, few = rule(min_spacing_seconds=1, window_seconds=60), rule(max_trades=2, window_seconds=60)
    assert refusals(scopes, (spaced, 0), (spaced, 1), (spaced, 2), (few, 3))[-1] == WINDOW


@pytest.mark.parametrize("cooldown_seconds", [0, 1])
def test_an_exit_moves_no_clock(scopes: Scopes, cooldown_seconds: int) -> None:
    limited = rule(max_notional="1", window_seconds=1, cooldown_seconds=cooldown_seconds)
    assert scopes.ask(ask(1, 0, limited, notional=limited.max_notional)).reasons == ()
    scopes.left(ask(2, 5, limited))
    refused = scopes.ask(ask(3, 0, limited, notional=1)).reasons
    assert code_of(refused[0]) == "THROTTLE_NOTIONAL", "it is still within the window"


def test_a_cooldown_runs_from_an_exit_before_there_was_one(scopes: Scopes) -> None:
    none, cool = rule(max_trades=9), rule(max_trades=9, cooldown_seconds=100)
    scopes.left(ask(1, 1, none))
    refused = scopes.ask(ask(2, 3, cool))
    assert [code_of(reason) for reason in refused.reasons] == ["THROTTLE_COOLDOWN"]
    assert refused.retry_at_us == 101 * S_US


def test_the_later_of_two_exits_counts_whichever_came_first(scopes: Scopes) -> None:
    cool = rule(cooldown_seconds=100)
    scopes.left(ask(1, 50, cool, key="K"))
    scopes.left(ask(1, 20, cool, key="L"))
    assert scopes.ask(ask(2, 60, cool)).retry_at_us == 150 * S_US


@pytest.mark.parametrize("per", ["strategy", "global"])
@pytest.mark.parametrize("how", ["close", "flatten"])
def test_every_exit_starts_the_cooldown_of_what_counts_over_symbols(
    scopes: Scopes, per: Any, how: str
) -> None:
    cool = schema.Throttle(name="wide", per=per, cooldown_seconds=100)
    agent = AgentLogic(schema.Trading(strategies={}, throttles=(cool,)), "signal_price", scopes=scopes)
    key, other = agent.origin("K"), agent.origin("L")
    buy = Signal("K", "s", BUY, 10_000, 10_000)
    key, _ = agent.step(key, buy, key_seq=1, at_us=10 * S_US)
    event = Signal("K", "s", 0, 0, 10_000) if how == "close" else Control("flatten", "")
    key, left = agent.step(key, event, key_seq=2, at_us=10 * S_US)
    assert [leg.intent for leg in left.legs] == ["exit"]
    elsewhere = Signal("L", "s", BUY, 10_000, 10_000)
    other, decision = agent.step(other, elsewhere, key_seq=1, at_us=109 * S_US)
    assert [code_of(reason) for reason in decision.legs[0].reasons] == ["THROTTLE_COOLDOWN"]
    assert decision.legs[0].retry_at_us == 110 * S_US
    assert agent.step(other, elsewhere, key_seq=2, at_us=110 * S_US)[1].legs[0].verdict == Verdict.ORDERED


def test_a_flatten_that_is_decided_again_is_one_exit_of_each_strategy(scopes: Scopes) -> None:
    cool = schema.Throttle(name="wide", per="strategy", cooldown_seconds=100)
    trading = schema.Trading(strategies={}, throttles=(cool,))
    agents = [AgentLogic(trading, "signal_price", scopes=scopes) for _ in range(2)]
    key, other = agents[0].origin("K"), agents[0].origin("L")
    for seq, name in enumerate("st", 1):
        key, _ = agents[0].step(key, Signal("K", name, BUY, 10_000, 10_000), key_seq=seq, at_us=10 * S_US)
    flat = Control("flatten", "")
    first = agents[0].step(key, flat, key_seq=3, at_us=10 * S_US)
    assert [leg.strategy for leg in first[1].legs] == ["s", "t"]
    # What asks in between moves the time of the strategy's count, and so would a second exit.
    other, _ = agents[0].step(other, Signal("L", "s", BUY, 10_000, 10_000), key_seq=1, at_us=60 * S_US)
    assert agents[1].step(key, flat, key_seq=3, at_us=10 * S_US) == first
    for seq, name in enumerate("st", 2):
        event = Signal("L", name, BUY, 10_000, 10_000)
        other, decision = agents[1].step(other, event, key_seq=seq, at_us=61 * S_US)
        assert decision.legs[0].retry_at_us == 110 * S_US


def test_a_flatten_that_the_store_could_not_be_told_of_is_told_before_the_next_question() -> None:
    store, now = MemoryScopeStore(), Time()
    cool = schema.Throttle(name="wide", per="strategy", cooldown_seconds=100)
    agent = AgentLogic(
        schema.Trading(strategies={}, throttles=(cool,)), "signal_price", scopes=shared(store, now)
    )
    key = agent.origin("K")
    for seq, name in enumerate("st", 1):
        key, _ = agent.step(key, Signal("K", name, BUY, 10_000, 10_000), key_seq=seq, at_us=10 * S_US)
    store.down = True
    agent.step(key, Control("flatten", ""), key_seq=3, at_us=10 * S_US)
    store.down = False
    now.ns += limits.SCOPES_PAUSE_MS * NS_PER_MS
    other = agent.origin("L")
    for seq, name in enumerate("st", 1):
        event = Signal("L", name, BUY, 10_000, 10_000)
        other, decision = agent.step(other, event, key_seq=seq, at_us=20 * S_US)
        assert decision.legs[0].retry_at_us == 110 * S_US


def test_of_two_exits_that_could_not_be_told_the_later_one_is() -> None:
    cool, store, now = rule(cooldown_seconds=100), MemoryScopeStore(), Time()
    scopes = shared(store, now)
    store.down = True
    scopes.left(ask(1, 50, cool, key="K"))
    scopes.left(ask(1, 20, cool, key="L"))
    store.down = False
    now.ns += limits.SCOPES_PAUSE_MS * NS_PER_MS
    assert scopes.ask(ask(2, 60, cool)).retry_at_us == 150 * S_US


def test_a_store_that_is_away_refuses_every_entry_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    store, now = MemoryScopeStore(), Time()
    scopes = shared(store, now)
    store.down = True
    with caplog.at_level(logging.ERROR):
        assert scopes.ask(ask(1, 0)) == Grant(0, (UNKNOWN,), 0)
        assert scopes.ask(ask(2, 0)) == Grant(0, (UNKNOWN,), 0)
    assert caplog.text.count("wide throttles refuse all entries") == 1, "said once a pause"
    store.down = False
    assert scopes.ask(ask(3, 0)).reasons == (UNKNOWN,), "it is left alone for a moment"
    now.ns += limits.SCOPES_PAUSE_MS * NS_PER_MS
    assert scopes.ask(ask(4, 0)).reasons == ()


def test_a_store_that_cannot_be_opened_refuses_until_it_can() -> None:
    stores: list[ScopeStore] = []

    def open_store() -> ScopeStore:
        if not stores:
            raise MissingError("not there yet")
        return stores[0]

    now = Time()
    scopes = SharedScopes(open_store, now)
    assert scopes.ask(ask(1, 0)).reasons == (UNKNOWN,)
    stores.append(MemoryScopeStore())
    now.ns += limits.SCOPES_PAUSE_MS * NS_PER_MS
    assert scopes.ask(ask(2, 0)).reasons == ()


def test_an_exit_passes_while_the_store_is_away_and_its_cooldown_holds_afterwards() -> None:
    cool = rule(cooldown_seconds=60)
    store, now = MemoryScopeStore(), Time()
    scopes = shared(store, now)
    store.down = True
    scopes.left(ask(1, 100, cool))
    store.down = False
    now.ns += limits.SCOPES_PAUSE_MS * NS_PER_MS
    refused = scopes.ask(ask(2, 159, cool))
    assert [code_of(reason) for reason in refused.reasons] == ["THROTTLE_COOLDOWN"]
    assert refused.retry_at_us == 160 * S_US


def test_two_agents_that_decide_one_event_are_given_one_answer() -> None:
    store = MemoryScopeStore()
    first, second = shared(store), shared(store)
    assert first.ask(ask(1, 0)).reasons == ()
    assert second.ask(ask(1, 30)).reasons == (), "the same event: it entered once"
    assert second.ask(ask(2, 30)).reasons != ()


def signal_rows(agents: list[AgentLogic], count: int) -> list[tuple[bool, tuple[str, ...]]]:
    """One buy in each of `count` symbols, agents in turn: (entered, what is recorded as input)."""
    rows = []
    for number in range(count):
        agent, symbol = agents[number % len(agents)], f"S{number}"
        event = Signal(symbol, "s", BUY, 10_000, 10_000)
        _, decision = agent.step(agent.origin(symbol), event, key_seq=1, at_us=number)
        rows.append((decision.legs[0].verdict == Verdict.ORDERED, decision.inputs))
    return rows


@pytest.fixture
def redis() -> Iterator[Redis]:
    with running_redis(durable=True) as server:
        yield server


def test_a_count_over_a_real_server_survives_its_restart(redis: Redis) -> None:
    throttle = schema.Throttle(name="wide", per="global", max_trades=3, window_seconds=60)
    trading, prefix, now = schema.Trading(strategies={}, throttles=(throttle,)), uuid.uuid4().hex, Time()
    shares = [SharedScopes(lambda: RedisScopeStore.open(redis.url, prefix), now) for _ in range(2)]
    agents = [AgentLogic(trading, "signal_price", scopes=one) for one in shares]
    assert [entered for entered, _ in signal_rows(agents, 2)] == [True, True]
    redis.stop()
    away = signal_rows(agents, 2)
    assert [entered for entered, _ in away] == [False, False]
    assert all(UNKNOWN in inputs[0] for _, inputs in away)
    redis.start()
    now.ns += limits.SCOPES_PAUSE_MS * NS_PER_MS
    assert [entered for entered, _ in signal_rows(agents, 5)][2:] == [True, False, False]
    for one in shares:
        one.close()


def test_the_url_is_taken_from_its_file_or_the_environment_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("redis://:hunter2@127.0.0.1:1/0\n")
    config = resolve({"agent": {"scopes": "redis", "scopes_url_file": str(file)}})
    assert find_url(config, {}) == "redis://:hunter2@127.0.0.1:1/0"
    with pytest.raises(MissingError) as caught:
        open_scopes(config, {})
    assert "hunter2" not in str(caught.value)
    named = resolve({"agent": {"scopes": "redis", "scopes_url_env": "ELSEWHERE"}})
    assert find_url(named, {"ELSEWHERE": "redis://a"}) == "redis://a"
    with pytest.raises(MissingError, match="environment variable ELSEWHERE: holds no URL"):
        find_url(named, {})
    gone = resolve({"agent": {"scopes": "redis", "scopes_url_file": str(tmp_path / "none")}})
    with pytest.raises(MissingError, match="none: No such file"):
        find_url(gone, {})
