"""One suite for every scope store, on a real Redis server too; then what only Redis can get wrong."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from servers import Redis, running_redis

from pipeline import limits
from pipeline.storage.scopes import (
    Ask,
    Claim,
    MemoryScopeStore,
    Refusal,
    Rule,
    ScopeStore,
    ScopeStoreError,
)
from pipeline.storage.scopes.redis import RedisScopeStore

Opener = Callable[[], ScopeStore]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A Redis server: RINGLINE_TEST_REDIS, else one of our own."""
    if given := os.environ.get("RINGLINE_TEST_REDIS"):
        yield given
        return
    with running_redis() as server:
        yield server.url


def prefix() -> str:
    return f"test-{os.getpid()}-{uuid.uuid4().hex[:8]}-{next(_numbers)}"


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[ScopeStore]:
    made: ScopeStore
    if request.param == "memory":
        made = MemoryScopeStore()
    else:
        made = RedisScopeStore.open(request.getfixturevalue("redis_url"), prefix())
    yield made
    made.close()


def ask(key_seq: int, at_us: int, key: str = "K", part: int = 0) -> Ask:
    return Ask(key, key_seq, at_us, part)


def refused(rule: Rule, retry_at_us: int, claim: int = 0, used: int = 0) -> tuple[Refusal, ...]:
    return (Refusal(claim, rule, retry_at_us, used),)


# ---- rules ------------------------------------------------------------------------------------------------


def test_a_window_holds_so_many_entries_of_all_keys_together(store: ScopeStore) -> None:
    claim = Claim("s", 100, max_trades=2)
    assert store.enter(ask(1, 1000, "A"), [claim]).allowed
    assert store.enter(ask(1, 1010, "B"), [claim]).allowed
    assert store.enter(ask(2, 1099, "A"), [claim]).refusals == refused(Rule.WINDOW, 1100)
    assert store.enter(ask(3, 1100, "A"), [claim]).allowed
    assert store.enter(ask(2, 1100, "B"), [claim]).refusals == refused(Rule.WINDOW, 1110)


def test_a_window_holds_so_much_notional_exactly(store: ScopeStore) -> None:
    most = limits.MAX_NOTIONAL
    assert store.enter(ask(1, 10), [Claim("s", 100, max_notional=most, notional=most - 1)]).allowed
    assert store.enter(ask(2, 20), [Claim("s", 100, max_notional=most, notional=1)]).allowed
    wants_one = Claim("s", 100, max_notional=most, notional=1)
    assert store.enter(ask(3, 30), [wants_one]).refusals == refused(Rule.NOTIONAL, 110, used=most)
    too_much = Claim("s", 100, max_notional=5, notional=6)
    assert store.enter(ask(4, 30), [too_much]).refusals == refused(Rule.NOTIONAL, 0, used=most)


@pytest.mark.parametrize(
    ("wanted", "passes_at_us"), [(1, 100), (3, 100), (4, 105), (6, 105), (7, 109), (10, 109)]
)
def test_an_entry_passes_once_what_leaves_the_window_is_exactly_enough(
    store: ScopeStore, wanted: int, passes_at_us: int
) -> None:
    claim = Claim("s", 100, max_notional=10)
    for key_seq, (at_us, notional) in enumerate([(0, 3), (5, 3), (9, 4)], 1):
        assert store.enter(ask(key_seq, at_us), [replace(claim, notional=notional)]).allowed
    answer = store.enter(ask(4, 10), [replace(claim, notional=wanted)])
    assert answer.refusals == refused(Rule.NOTIONAL, passes_at_us, used=10)
    assert not store.enter(ask(5, passes_at_us - 1), [replace(claim, notional=wanted)]).allowed
    assert store.enter(ask(6, passes_at_us), [replace(claim, notional=wanted)]).allowed


def test_spacing_runs_from_entries_and_cooldown_from_exits(store: ScopeStore) -> None:
    claim = Claim("s", 100, spacing_us=50, cooldown_us=70)
    assert store.enter(ask(1, 1000), [claim]).allowed
    assert store.enter(ask(2, 1049), [claim]).refusals == refused(Rule.SPACING, 1050)
    store.leave(ask(3, 1060), ["s"])
    assert store.enter(ask(4, 1129), [claim]).refusals == refused(Rule.COOLDOWN, 1130)
    assert store.enter(ask(5, 1130), [claim]).allowed


def test_a_limit_of_zero_never_passes(store: ScopeStore) -> None:
    assert store.enter(ask(1, 10), [Claim("s", 100, max_trades=0)]).refusals == refused(Rule.WINDOW, 0)


def test_nothing_is_noted_unless_all_claims_pass(store: ScopeStore) -> None:
    narrow, wide = Claim("narrow", 100, max_trades=1), Claim("wide", 100, max_trades=2)
    assert store.enter(ask(1, 10), [wide, narrow]).allowed
    assert store.enter(ask(2, 20), [wide, narrow]).refusals == refused(Rule.WINDOW, 110, claim=1)
    assert store.enter(ask(3, 20), [wide]).allowed
    assert [refusal.claim for refusal in store.enter(ask(4, 20), [wide, narrow]).refusals] == [0, 1]


def test_what_is_only_judged_takes_nothing_and_its_answer_stands(store: ScopeStore) -> None:
    claim = Claim("s", 100, max_trades=1)
    assert store.enter(ask(1, 1000), [claim], take=False).allowed
    assert store.enter(ask(2, 1000), [claim]).allowed
    assert store.enter(ask(1, 1000), [claim], take=False).allowed, "the first answer stands"
    assert store.enter(ask(3, 1000), [claim], take=False).refusals == refused(Rule.WINDOW, 1100)


def test_a_late_event_counts_as_of_the_newest_one(store: ScopeStore) -> None:
    claim = Claim("s", 100, max_trades=1)
    assert store.enter(ask(1, 1000, "A"), [claim]).allowed
    assert store.enter(ask(1, 500, "B"), [claim]).refusals == refused(Rule.WINDOW, 1100)
    assert store.enter(ask(2, 1100, "B"), [claim]).allowed


def test_of_a_scope_so_many_entries_are_remembered_whatever_is_claimed(
    store: ScopeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_WINDOW_TRADES", 4)
    monkeypatch.setattr(limits, "MAX_SCOPE_TIME_US", 1000)
    free = Claim("s", 0)
    for key_seq, (at_us, notional) in enumerate([(10, 1), (20, 2), (20, 40), (20, 3), (30, 5), (30, 6)], 1):
        assert store.enter(ask(key_seq, at_us), [replace(free, notional=notional)]).allowed
    all_of_it = Claim("s", 1000, max_notional=2**40, max_trades=4)
    (held,) = store.enter(ask(7, 30), [all_of_it], take=False).held
    assert (held.used, held.notional) == (4, 40 + 3 + 5 + 6), "the first ones of a time go first"
    assert store.enter(ask(8, 1029), [replace(free, notional=7)]).allowed
    (held,) = store.enter(ask(9, 1029), [all_of_it], take=False).held
    assert (held.used, held.notional) == (3, 5 + 6 + 7)


# ---- once and the same ------------------------------------------------------------------------------------


def test_the_same_question_has_the_same_answer_and_is_noted_once(store: ScopeStore) -> None:
    claim = Claim("s", 100, max_trades=2)
    for _ in range(3):
        assert store.enter(ask(1, 1000), [claim]).allowed
    assert store.enter(ask(2, 1001), [claim]).allowed
    no = store.enter(ask(3, 1002), [claim])
    assert store.enter(ask(9, 2000), [claim]).allowed
    assert store.enter(ask(3, 1002), [claim]) == no
    assert no.refusals == refused(Rule.WINDOW, 1100)
    assert store.enter(ask(9, 2000, part=1), [claim]).allowed


def test_a_repeated_exit_does_not_move_the_cooldown(store: ScopeStore) -> None:
    claim = Claim("s", 100, cooldown_us=50)
    store.leave(ask(1, 1000), ["s"])
    assert store.enter(ask(2, 1050), [claim]).allowed
    store.leave(ask(1, 1000), ["s"])
    assert store.enter(ask(3, 1051), [claim]).allowed


def test_answers_are_forgotten_late_and_then_not_guessed(
    store: ScopeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SCOPE_ANSWERS_A_KEY", 8)
    claim = Claim("s", 0, max_trades=1)
    for key_seq in range(1, 41):
        store.enter(ask(key_seq, key_seq), [claim])
    assert store.enter(ask(40, 40), [claim]).allowed
    assert store.enter(ask(33, 33), [claim]).allowed
    with pytest.raises(ScopeStoreError, match="the answer to event 2 of K is forgotten"):
        store.enter(ask(2, 2), [claim])


@pytest.mark.parametrize(
    ("question", "claims"),
    [
        (ask(0, 1), []),
        (ask(1, limits.MAX_EVENT_TIME_US + 1), []),
        (ask(1, 1), [Claim("s", 1), Claim("s", 2)]),
        (ask(1, 1), [Claim("s", -1)]),
        (ask(1, 1), [Claim("s", 1, max_trades=limits.MAX_WINDOW_TRADES + 1)]),
        (ask(1, 1), [Claim("s", 1, notional=limits.MAX_NOTIONAL + 1)]),
    ],
)
def test_what_cannot_be_counted_exactly_is_no_question(
    store: ScopeStore, question: Ask, claims: list[Claim]
) -> None:
    with pytest.raises(ValueError, match=r"key_seq|claims|Claim"):
        store.enter(question, claims)


NOTIONALS = st.one_of(st.integers(0, 30), st.integers(limits.MAX_NOTIONAL - 5, limits.MAX_NOTIONAL))
CLAIMS = st.lists(
    st.builds(
        Claim,
        scope=st.sampled_from("xyz"),
        window_us=st.integers(0, 40),
        max_trades=st.integers(-1, 4),
        max_notional=st.one_of(st.integers(-1, 60), NOTIONALS),
        notional=NOTIONALS,
        spacing_us=st.integers(0, 20),
        cooldown_us=st.integers(0, 20),
    ),
    max_size=3,
    unique_by=lambda claim: claim.scope,
)
ASKS = st.builds(
    Ask, st.sampled_from("AB"), st.integers(1, 20), st.integers(1_700_000_000_000_000, 1_700_000_000_000_060)
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(ASKS, CLAIMS, st.booleans()), max_size=30))
def test_redis_answers_whatever_is_asked_as_memory_does(
    redis_url: str, questions: list[tuple[Ask, list[Claim], bool]]
) -> None:
    memory, redis = MemoryScopeStore(), RedisScopeStore.open(redis_url, prefix())
    try:
        for question, claims, exits in questions:
            if exits:
                for one in (memory, redis):
                    one.leave(question, [claim.scope for claim in claims])
            else:
                assert redis.enter(question, claims) == memory.enter(question, claims)
    finally:
        redis.close()


def test_entries_that_an_older_process_noted_in_redis_count(redis_url: str) -> None:
    name = prefix()
    store = RedisScopeStore.open(redis_url, name)
    store._client.zadd("{" + name + "}:window:s", {"K\x1f1:0\x1f1\x1f5": 10})
    (held,) = store.enter(ask(2, 20), [Claim("s", 100, max_notional=2**40, notional=3)]).held
    assert (held.used, held.notional) == (2, 10**9 + 5 + 3)
    store.close()


# ---- closed when in doubt ---------------------------------------------------------------------------------


@pytest.fixture
def own_server() -> Iterator[Redis]:
    """One to stop and start."""
    with running_redis() as server:
        yield server


def test_without_a_server_nothing_may_be_entered(own_server: Redis) -> None:
    store = RedisScopeStore.open(own_server.url)
    own_server.stop()
    with pytest.raises(ScopeStoreError, match="scope store in Redis: "):
        store.enter(ask(1, 10), [Claim("s", 100, max_trades=1)])
    with pytest.raises(ScopeStoreError, match="scope store in Redis: "):
        RedisScopeStore.open(own_server.url)
    store.close()
    memory = MemoryScopeStore()
    memory.down = True
    with pytest.raises(ScopeStoreError):
        memory.enter(ask(1, 10), [])


def test_a_server_that_lost_its_memory_answers_nothing_until_a_new_start(own_server: Redis) -> None:
    store, claim = RedisScopeStore.open(own_server.url), Claim("s", 100, max_trades=1)
    assert store.enter(ask(1, 10), [claim]).allowed
    own_server.stop()
    own_server.start()
    for _ in range(2):
        with pytest.raises(ScopeStoreError, match="lost its memory"):
            store.enter(ask(2, 11), [claim])
    store.close()
    store = RedisScopeStore.open(own_server.url)
    assert store.enter(ask(2, 11), [claim]).allowed
    store.close()


def test_several_processes_share_the_limits_and_a_cut_connection_costs_nothing(own_server: Redis) -> None:
    one, other = RedisScopeStore.open(own_server.url), RedisScopeStore.open(own_server.url)
    claim = Claim("s", 100, max_trades=1)
    assert one.enter(ask(1, 10, "A"), [claim]).allowed
    assert not other.enter(ask(1, 11, "B"), [claim]).allowed
    other._client.client_kill_filter(_type="normal", skipme=True)
    assert one.enter(ask(1, 10, "A"), [claim]).allowed
    one.close()
    other.close()


def test_a_server_that_may_forget_entries_is_refused(own_server: Redis) -> None:
    store = RedisScopeStore.open(own_server.url)
    store._client.config_set("maxmemory", "100mb")
    RedisScopeStore.open(own_server.url).close()
    store._client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(ScopeStoreError, match="maxmemory-policy is allkeys-lru"):
        RedisScopeStore.open(own_server.url)
    store.close()


def test_a_password_is_never_told() -> None:
    for url in ("redis://:hunter2@127.0.0.1:1", "nonsense://:hunter2@x"):
        with pytest.raises(ScopeStoreError) as told:
            RedisScopeStore.open(url)
        assert "hunter2" not in str(told.value)
