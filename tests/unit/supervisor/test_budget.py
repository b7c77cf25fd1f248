from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.clock import NS_PER_S, FakeClock
from pipeline.supervisor import RestartBudget


def test_pauses_double_up_to_their_limit() -> None:
    budget = RestartBudget(restarts=7, window_s=60)
    assert [budget.spend(0) for _ in range(8)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, None]


def test_no_restart_is_allowed_with_a_budget_of_none() -> None:
    assert RestartBudget(restarts=0, window_s=60).spend(0) is None


def test_what_was_spent_comes_back_when_the_window_has_passed() -> None:
    clock = FakeClock()
    budget = RestartBudget(restarts=2, window_s=60)
    assert budget.spend(clock.monotonic_ns()) == 0.05
    clock.advance(s=30)
    assert budget.spend(clock.monotonic_ns()) == 0.1
    assert budget.spend(clock.monotonic_ns()) is None
    clock.advance(s=30)
    assert budget.spend(clock.monotonic_ns()) == 0.1
    assert budget.spent == 2


@given(
    restarts=st.integers(0, 10_000),
    window_s=st.integers(1, 1000),
    steps_ns=st.lists(st.integers(0, 100 * NS_PER_S), max_size=60),
)
def test_never_more_than_the_budget_in_any_window(restarts: int, window_s: int, steps_ns: list[int]) -> None:
    budget = RestartBudget(restarts, window_s)
    now_ns = 0
    granted: list[int] = []
    for step_ns in steps_ns:
        now_ns += step_ns
        pause_s = budget.spend(now_ns)
        recent = [at for at in granted if at > now_ns - window_s * NS_PER_S]
        assert (pause_s is None) == (len(recent) >= restarts)
        if pause_s is not None:
            assert limits.RESTART_PAUSE_MIN_MS <= pause_s * 1000 <= limits.RESTART_PAUSE_MAX_MS
            granted.append(now_ns)
