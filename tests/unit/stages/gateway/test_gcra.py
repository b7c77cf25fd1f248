"""The rate limit against a token bucket in exact fractions, and its law: never more than the limit allows."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stages.gateway.gcra import Gcra

S = 10**9


def test_a_burst_passes_and_then_one_a_step() -> None:
    gcra = Gcra(limit=2, period_ns=S, burst=3)
    assert [gcra.take(0).remaining for _ in range(3)] == [2, 1, 0]
    refused = gcra.take(0)
    assert refused == (False, 0, S // 2, 3 * S // 2)
    assert not gcra.take(S // 2 - 1).allowed
    assert gcra.take(S // 2) == (True, 0, 0, 3 * S // 2)


def test_several_at_once_are_taken_whole_or_not_at_all() -> None:
    gcra = Gcra(limit=1, period_ns=S, burst=5)
    assert gcra.take(0, 3).allowed
    assert not gcra.take(0, 3).allowed
    assert gcra.take(0, 2).allowed
    assert not gcra.take(100 * S, 6).allowed


@pytest.mark.parametrize("wrong", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_limits_that_hold_nothing_are_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Gcra(*wrong)


rates = st.tuples(st.integers(1, 50), st.integers(1, 10**10), st.integers(1, 20))
arrivals = st.lists(st.tuples(st.integers(0, 3 * 10**9), st.integers(1, 4)), max_size=60)


@given(rates, arrivals)
def test_it_decides_as_a_token_bucket_does(rate: tuple[int, int, int], steps: list[tuple[int, int]]) -> None:
    limit, period_ns, burst = rate
    gcra = Gcra(limit, period_ns, burst)
    tokens, then, now = Fraction(burst), 0, 0
    for pause, cost in steps:
        now += pause
        tokens = min(Fraction(burst), tokens + Fraction((now - then) * limit, period_ns))
        then = now
        found = gcra.take(now, cost)
        assert found.allowed == (tokens >= cost)
        if found.allowed:
            tokens -= cost
        assert found.remaining == tokens // 1


@given(rates, arrivals)
def test_who_waits_as_told_is_let_in(rate: tuple[int, int, int], steps: list[tuple[int, int]]) -> None:
    gcra = Gcra(*rate)
    now = 0
    for pause, cost in steps:
        now += pause
        found = gcra.take(now, cost)
        if not found.allowed and cost <= gcra.burst:
            now += found.retry_after_ns
            assert gcra.take(now, cost).allowed
