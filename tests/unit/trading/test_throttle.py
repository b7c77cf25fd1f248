"""The throttle against a brute-force oracle that keeps the whole history, and its words."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from pipeline import limits
from pipeline.clock import US_PER_S
from pipeline.config.schema import Throttle
from pipeline.trading.reasons import code_of
from pipeline.trading.throttle import OFF, Answer, compile_rule, enter, idle, judge, leave, origin

HOUR = 3600


class Oracle:
    """Remembers everything for ever and counts afresh each time."""

    def __init__(self, throttle: Throttle) -> None:
        multiplier = Fraction(throttle.multiplier)
        self.halted = multiplier == 0
        self.window_us = throttle.window_seconds * US_PER_S
        self.spacing_us = throttle.min_spacing_seconds * US_PER_S
        self.cooldown_us = throttle.cooldown_seconds * US_PER_S
        self.most = int(throttle.max_trades * multiplier) if throttle.max_trades else None
        cap = Fraction(throttle.max_notional)
        self.cap = int(cap * multiplier) if cap else None
        self.entries: list[tuple[int, int]] = []
        self.exits: list[int] = []

    def held(self, at_us: int) -> list[int]:
        return [n for t, n in self.entries if at_us - self.window_us < t <= at_us]

    def failing(self, at_us: int, notional: int) -> set[str]:
        failed = set()
        held = self.held(at_us)
        if self.halted:
            failed.add("THROTTLE_HALTED")
        else:
            if self.most is not None and len(held) + 1 > self.most:
                failed.add("THROTTLE_WINDOW")
            if self.cap is not None and sum(held) + notional > self.cap:
                failed.add("THROTTLE_NOTIONAL")
        if self.entries and at_us - self.entries[-1][0] < self.spacing_us:
            failed.add("THROTTLE_SPACING")
        if self.exits and at_us - self.exits[-1] < self.cooldown_us:
            failed.add("THROTTLE_COOLDOWN")
        return failed

    def earliest(self, at_us: int, notional: int) -> int:
        """The first instant from `at_us` on that would pass; 0 when none would: only these can be it."""
        instants = {at_us} | {t + self.window_us for t, _ in self.entries}
        instants |= {t + self.spacing_us for t, _ in self.entries} | {
            t + self.cooldown_us for t in self.exits
        }
        passing = [t for t in instants if t >= at_us and not self.failing(t, notional)]
        return min(passing, default=0)


def throttles() -> st.SearchStrategy[Throttle]:
    return st.builds(
        Throttle,
        name=st.sampled_from(["a", "b"]),
        max_trades=st.integers(0, 4),
        window_seconds=st.integers(1, 20),
        cooldown_seconds=st.integers(0, 8),
        min_spacing_seconds=st.integers(0, 8),
        max_notional=st.sampled_from(["0", "5", "50", "120"]),
        multiplier=st.sampled_from(["1", "1", "1", "0.5", "0.25", "0.999", "0"]),
    )


class Wish(Struct, frozen=True):
    after_us: int
    notional: int
    entry: bool


WISHES = st.lists(
    st.builds(
        Wish,
        after_us=st.one_of(
            st.integers(0, 6).map(lambda s: s * US_PER_S), st.integers(0, 3), st.integers(0, 9 * US_PER_S)
        ),
        # Round ones too, of which several fill a limit exactly.
        notional=st.one_of(st.integers(1, 60), st.sampled_from([1, 4, 5, 10, 20, 25])),
        entry=st.booleans() | st.just(True),
    ),
    max_size=40,
)


@given(throttles(), WISHES)
def test_every_answer_and_retry_is_what_counting_the_whole_history_says(
    throttle: Throttle, wishes: list[Wish]
) -> None:
    rules, oracle, now_us = (compile_rule(throttle, 0),), Oracle(throttle), 0
    scope = origin()
    for wish in wishes:
        now_us += wish.after_us
        if not wish.entry:
            scope = leave(scope, now_us)
            oracle.exits.append(now_us)
            continue
        answer = judge(rules, scope, now_us, wish.notional)
        assert {code_of(reason) for reason in answer.reasons} == oracle.failing(now_us, wish.notional)
        held, (budget,) = oracle.held(now_us), answer.budgets
        limited = oracle.most is not None or oracle.cap is not None
        assert budget.used_trades == (len(held) if limited else 0)
        assert budget.used_notional == (sum(held) if oracle.cap is not None else 0)
        if answer.allowed:
            assert answer.retry_at_us == 0
            scope = enter(scope, now_us, wish.notional)
            oracle.entries.append((now_us, wish.notional))
        else:
            assert answer.retry_at_us == oracle.earliest(now_us, wish.notional)
            later = judge(rules, scope, answer.retry_at_us, wish.notional)
            assert later.allowed or not answer.retry_at_us
            if answer.retry_at_us:
                assert not judge(rules, scope, answer.retry_at_us - 1, wish.notional).allowed
    for at_us in [t for t, _ in oracle.entries]:
        held = oracle.held(at_us)
        assert oracle.most is None or len(held) <= oracle.most
        assert oracle.cap is None or sum(held) <= oracle.cap
    for (before, _), (after, _) in pairwise(oracle.entries):
        assert after - before >= oracle.spacing_us


@given(st.lists(throttles(), min_size=2, max_size=3), WISHES)
def test_several_throttles_allow_only_together_and_change_only_together(
    several: list[Throttle], wishes: list[Wish]
) -> None:
    rules = tuple(compile_rule(throttle, 0) for throttle in several)
    oracles, scope, now_us = [Oracle(throttle) for throttle in several], origin(), 1
    for wish in wishes:
        now_us += wish.after_us
        if not wish.entry:
            scope = leave(scope, now_us)
            for oracle in oracles:
                oracle.exits.append(now_us)
            continue
        answer = judge(rules, scope, now_us, wish.notional)
        failing = [oracle.failing(now_us, wish.notional) for oracle in oracles]
        assert len(answer.reasons) == sum(len(failed) for failed in failing)
        if answer.allowed:
            scope = enter(scope, now_us, wish.notional)
            for oracle in oracles:
                oracle.entries.append((now_us, wish.notional))
            continue
        instants = [oracle.earliest(now_us, wish.notional) for oracle in oracles]
        assert answer.retry_at_us == (max(instants) if all(instants) else 0)


@given(throttles(), WISHES, st.integers(0, 30 * US_PER_S))
def test_an_idle_scope_can_be_forgotten_without_changing_any_answer(
    throttle: Throttle, wishes: list[Wish], after_us: int
) -> None:
    rules = (compile_rule(throttle, 0),)
    scope, now_us = origin(), 0
    for wish in wishes:
        now_us += wish.after_us
        if not wish.entry:
            scope = leave(scope, now_us)
        elif judge(rules, scope, now_us, wish.notional).allowed:
            scope = enter(scope, now_us, wish.notional)
    now_us += after_us
    if idle(rules, scope, now_us):
        assert judge(rules, scope, now_us, 7) == judge(rules, origin(), now_us, 7)


def answer_of(throttle: Throttle, entries: list[int], now_us: int, notional: int = 100) -> Answer:
    rules = (compile_rule(throttle, 2),)
    scope = origin()
    for time_us in entries:
        scope = enter(scope, time_us, 100)
    return judge(rules, scope, now_us, notional)


def test_an_entry_leaves_the_window_exactly_when_the_window_has_passed() -> None:
    throttle = Throttle(name="hourly", max_trades=1, window_seconds=HOUR)
    denied = answer_of(throttle, [5], 4 + HOUR * US_PER_S)
    assert denied.reasons == ("THROTTLE_WINDOW: limit=1 window_seconds=3600 throttle=hourly",)
    assert denied.retry_at_us == 5 + HOUR * US_PER_S
    assert answer_of(throttle, [5], denied.retry_at_us).allowed


@pytest.mark.parametrize(("wanted", "passes_at_s"), [(1, 60), (3, 60), (4, 65), (6, 65), (7, 69), (10, 69)])
def test_an_entry_passes_once_what_leaves_the_window_is_exactly_enough(wanted: int, passes_at_s: int) -> None:
    rules = (compile_rule(Throttle(name="n", max_notional="10", window_seconds=60), 0),)
    scope = origin()
    for second, notional in ((0, 3), (5, 3), (9, 4)):
        scope = enter(scope, second * US_PER_S, notional)
    retry_at_us = judge(rules, scope, 10 * US_PER_S, wanted).retry_at_us
    assert retry_at_us == passes_at_s * US_PER_S
    assert judge(rules, scope, retry_at_us, wanted).allowed
    assert not judge(rules, scope, retry_at_us - 1, wanted).allowed


def test_every_failing_rule_is_named_and_the_latest_instant_wins() -> None:
    throttle = Throttle(
        name="all", max_trades=1, window_seconds=60, min_spacing_seconds=90, max_notional="1.50"
    )
    answer = answer_of(throttle, [0], US_PER_S)
    assert answer.reasons == (
        "THROTTLE_WINDOW: limit=1 window_seconds=60 throttle=all",
        "THROTTLE_NOTIONAL: limit=1.5 used=1 wanted=1 window_seconds=60 throttle=all",
        "THROTTLE_SPACING: min_spacing_seconds=90 throttle=all",
    )
    assert answer.retry_at_us == 90 * US_PER_S


def test_an_entry_larger_than_the_whole_budget_never_passes() -> None:
    answer = answer_of(Throttle(name="n", max_notional="10"), [], 0, notional=1001)
    assert not answer.allowed
    assert answer.retry_at_us == 0


def test_an_exit_spends_nothing_and_starts_the_cooldown() -> None:
    rules = (compile_rule(Throttle(name="c", max_trades=1, cooldown_seconds=10), 0),)
    scope = leave(origin(), 7)
    answer = judge(rules, scope, 7, 1)
    assert answer.reasons == ("THROTTLE_COOLDOWN: cooldown_seconds=10 throttle=c",)
    assert answer.retry_at_us == 7 + 10 * US_PER_S
    assert answer.budgets[0].used_trades == 0


def test_a_multiplier_floors_counts_and_scales_notional() -> None:
    rule = compile_rule(Throttle(name="m", max_trades=3, max_notional="0.05", multiplier="0.5"), 2)
    assert (rule.max_trades, rule.max_notional) == (1, 2)


def test_a_count_floored_to_nothing_denies_for_ever() -> None:
    answer = answer_of(Throttle(name="m", max_trades=1, multiplier="0.5"), [], 0)
    assert answer.reasons == ("THROTTLE_WINDOW: limit=0 window_seconds=60 throttle=m",)
    assert answer.retry_at_us == 0


def test_a_multiplier_of_zero_halts() -> None:
    answer = answer_of(Throttle(name="m", multiplier="0"), [], 0)
    assert answer.reasons == ("THROTTLE_HALTED: multiplier=0 throttle=m",)
    assert answer.retry_at_us == 0


def test_a_throttle_without_limits_allows_everything() -> None:
    rules = (compile_rule(Throttle(name="none"), 0),)
    scope = enter(origin(), 5, 10**18)
    assert judge(rules, scope, 5, 10**18).budgets[0].remaining_trades == OFF


def test_a_window_limited_by_notional_alone_remembers_a_bounded_number() -> None:
    rules = (compile_rule(Throttle(name="n", max_notional="1000000"), 0),)
    scope = origin()
    for time_us in range(limits.MAX_WINDOW_TRADES):
        scope = enter(scope, time_us, 1)
    answer = judge(rules, scope, limits.MAX_WINDOW_TRADES, 1)
    assert answer.reasons == (
        f"THROTTLE_MEMORY: remembered={limits.MAX_WINDOW_TRADES} window_seconds=60 throttle=n",
    )
    assert answer.retry_at_us == 60 * US_PER_S


def test_the_answer_tells_what_remains() -> None:
    budget = answer_of(Throttle(name="b", max_trades=3, max_notional="10"), [0, 1], 2).budgets[0]
    assert (budget.used_trades, budget.remaining_trades) == (2, 1)
    assert (budget.used_notional, budget.remaining_notional) == (200, 800)


def test_no_rules_allow_everything() -> None:
    assert judge((), origin(), 0, 1).allowed


def test_several_throttles_of_which_one_never_passes_never_pass_in_any_order() -> None:
    never, soon = (
        compile_rule(Throttle(name=name, max_trades=1, multiplier=multiplier), 0)
        for name, multiplier in (("never", "0"), ("soon", "1"))
    )
    scope = enter(origin(), 5, 1)
    for rules in ((never, soon), (soon, never)):
        answer = judge(rules, scope, 6, 1)
        assert (len(answer.reasons), answer.retry_at_us) == (2, 0)
    assert judge((soon, soon), scope, 6, 1).retry_at_us == 5 + 60 * US_PER_S


def test_a_scope_is_idle_from_the_instant_its_last_rule_lets_go_of_it() -> None:
    rule = compile_rule(
        Throttle(name="t", max_trades=3, window_seconds=60, min_spacing_seconds=70, cooldown_seconds=50), 0
    )
    window = compile_rule(Throttle(name="w", max_trades=3, window_seconds=60), 0)
    scope = leave(enter(origin(), 0, 1), 25 * US_PER_S)
    for rules, after_s in (((rule,), 75), ((window,), 60), ((window, rule), 75), ((), 25)):
        assert idle(rules, scope, after_s * US_PER_S)
        if rules:
            assert not idle(rules, scope, after_s * US_PER_S - 1)


def test_under_a_tightened_throttle_the_later_of_its_own_rules_decides_when_to_try_again() -> None:
    scope = origin()
    for second, notional in enumerate([100, 1, 1, 1, 1]):
        scope = enter(scope, second * US_PER_S, notional)
    tight = compile_rule(Throttle(name="t", max_trades=2, max_notional="103", window_seconds=60), 0)
    answer = judge((tight,), scope, 5 * US_PER_S, 2)
    assert [code_of(reason) for reason in answer.reasons] == ["THROTTLE_WINDOW", "THROTTLE_NOTIONAL"]
    assert answer.retry_at_us == (3 + 60) * US_PER_S
    assert judge((tight,), scope, answer.retry_at_us, 2).allowed
    assert not judge((tight,), scope, answer.retry_at_us - 1, 2).allowed
