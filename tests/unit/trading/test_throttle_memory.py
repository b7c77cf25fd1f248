"""What throttles remember, against a plain list of everything; long enough that blocks fill and go."""

from __future__ import annotations

from itertools import accumulate
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.config.schema import Throttle
from pipeline.trading.throttle import Answer, compile_rule, enter, judge, leave, origin
from pipeline.trading.throttle_memory import BLOCK, NEVER_YET, ScopeState, remembered

MOST = limits.MAX_WINDOW_TRADES
YEAR_US = limits.MAX_SCOPE_TIME_US


def kept(history: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The rule of what is remembered, in one line."""
    return [entry for entry in history[-MOST:] if entry[0] > history[-1][0] - YEAR_US]


@given(
    st.integers(0, 2**32),
    st.sampled_from([1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, MOST, MOST + 1, MOST + BLOCK, MOST + 70]),
)
def test_every_question_is_answered_as_by_the_whole_list(seed: int, count: int) -> None:
    draw = Random(seed)
    widest_us = draw.choice([3, 1_000, YEAR_US // 40])
    scope, now_us, history = origin(), 0, []
    for _ in range(count):
        now_us += draw.randrange(widest_us)
        history.append((now_us, draw.randrange(4)))
        scope = enter(scope, *history[-1])
    expected = kept(history)
    assert scope.entries() == expected
    assert scope.entry_us == now_us
    assert scope == remembered(expected, NEVER_YET)
    assert leave(scope, now_us).entries() == expected
    sums = list(accumulate(notional for _, notional in expected))
    everything, before_all = scope.since(expected[0][0] - 1)
    assert (everything, scope.total - before_all) == (len(expected), sums[-1])
    for place in {0, len(expected) // 2, len(expected) - 1, draw.randrange(len(expected))}:
        until_us = expected[place][0]
        inside = [notional for time_us, notional in expected if time_us > until_us]
        used, before = scope.since(until_us)
        assert used == len(inside)
        assert scope.total - before == sum(inside)
        assert scope.newest(len(expected) - place) == until_us
        if sums[place]:
            assert scope.reaching(before_all + sums[place]) == expected[sums.index(sums[place])][0]
    assert scope.reaching(scope.total + 1) == NEVER_YET


def test_what_was_remembered_before_an_entry_stays_as_it_was() -> None:
    before = remembered([(at, 1) for at in range(MOST)], 5)
    text = before.entries()
    first, second = enter(before, MOST, 7), enter(before, MOST + 1, 8)
    assert before.entries() == text
    assert (first.entries()[-1], second.entries()[-1]) == ((MOST, 7), (MOST + 1, 8))
    assert first.entries()[0] == (1, 1)
    assert first.exit_us == 5


def test_memories_are_equal_when_they_remember_the_same_however_they_came_to_it() -> None:
    long = remembered([(at, 1) for at in range(MOST + 40)], NEVER_YET)
    short = remembered([(at, 1) for at in range(40, MOST + 40)], NEVER_YET)
    assert (long == short, long != short) == (True, False)
    assert hash(long) == hash(short)
    for other in (leave(short, MOST + 40), "another thing"):
        assert (long == other, long != other) == (False, True)


def rolling(rules_of: Throttle, seed: int, count: int) -> tuple[list[Answer], list[Answer]]:
    """The answers of one stream of wishes, and those of judging the whole history afresh each time."""
    draw, rule = Random(seed), compile_rule(rules_of, 0)
    scope, now_us, exit_us = origin(), 0, NEVER_YET
    history: list[Any] = []
    found, expected = [], []
    for _ in range(count):
        now_us += draw.choice([0, 1, rule.window_us // 90, rule.window_us // 40, rule.window_us // 20])
        if draw.random() < 0.05:
            scope, exit_us = leave(scope, now_us), now_us
            continue
        wanted = draw.choice([1, 7, 30, 60])
        inside = [(t, n) for t, n in history if t > now_us - rule.window_us]
        answer = judge((rule,), scope, now_us, wanted)
        found.append(answer)
        again = remembered(history, exit_us)
        expected.append(judge((rule,), again, now_us, wanted))
        assert answer.budgets[0].used_trades == (len(inside) if rule.room >= 0 else 0)
        if rule.max_notional >= 0:
            assert answer.budgets[0].used_notional == sum(n for _, n in inside)
            assert answer.budgets[0].used_notional <= rule.max_notional
        if answer.allowed:
            history.append((now_us, wanted))
            scope = enter(scope, now_us, wanted)
    return found, expected


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "throttle",
    [
        Throttle(name="t", max_trades=40, window_seconds=20, max_notional="1000"),
        Throttle(name="t", window_seconds=30, max_notional="1200"),
        Throttle(name="t", max_trades=3, window_seconds=40, max_notional="90", cooldown_seconds=1),
    ],
)
def test_windows_that_fill_and_roll_many_times_hold_what_is_in_them(throttle: Throttle, seed: int) -> None:
    found, expected = rolling(throttle, seed, 600)
    assert found == expected
    denied = [answer for answer in found if not answer.allowed]
    assert len(denied) > 20
    assert len(found) - len(denied) > 20


@pytest.mark.parametrize("value", [-1, -5, 1.0, float("nan"), "7", None])
def test_what_is_no_instant_or_amount_is_refused_by_name(value: object) -> None:
    rules = (compile_rule(Throttle(name="t", max_trades=1), 0),)
    for call in (
        lambda: judge(rules, origin(), 5, value),  # type: ignore[arg-type]
        lambda: enter(origin(), 5, value),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=r"^notional = .*: expected a whole number from 0 on$"):
            call()
    for call in (
        lambda: judge(rules, origin(), value, 5),  # type: ignore[arg-type]
        lambda: enter(origin(), value, 5),  # type: ignore[arg-type]
        lambda: leave(origin(), value),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=r"^now_us = .*: expected a whole number from 0 on$"):
            call()


def test_an_entry_before_the_last_one_is_refused() -> None:
    with pytest.raises(ValueError, match="now_us = 6: before the last entry, at 7"):
        enter(enter(origin(), 7, 1), 6, 1)


def test_sums_beyond_a_machine_word_are_exact() -> None:
    scope = ScopeState()
    for at_us in range(100):
        scope = enter(scope, at_us, limits.MAX_NOTIONAL)
    assert scope.total == 100 * limits.MAX_NOTIONAL
    assert scope.since(89) == (10, 90 * limits.MAX_NOTIONAL)


@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK])
def test_what_no_window_reaches_any_more_is_forgotten_from_that_instant_on(count: int) -> None:
    old = [(at, 1) for at in range(count)]
    scope = remembered(old, NEVER_YET)
    first_out = enter(scope, YEAR_US, 2)
    assert first_out.entries() == [*old[1:], (YEAR_US, 2)]
    assert first_out == remembered([*old[1:], (YEAR_US, 2)], NEVER_YET)
    all_out = enter(scope, YEAR_US + count, 2)
    assert all_out.entries() == [(YEAR_US + count, 2)]
    for after in range(1, 2 * BLOCK):
        all_out = enter(all_out, YEAR_US + count + after, 3)
    assert len(all_out.entries()) == 2 * BLOCK
    assert len(all_out.blocks) <= 3
    assert all_out.since(YEAR_US) == (2 * BLOCK, all_out.total - 2 - 3 * (2 * BLOCK - 1))
