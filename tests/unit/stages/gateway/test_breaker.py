"""The circuit breaker: its three states by example, its promises by law."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.stages.gateway.breaker import Breaker, Circuit, Trip

MS = 10**6
TRIP = Trip(1000 * MS, least_commits=4, slow_ns=50 * MS, bad_percent=50, open_ns=200 * MS, probes=2)


def state(breaker: Breaker) -> Circuit:
    return breaker.state


def opened() -> Breaker:
    """Opened at 40 ms."""
    breaker = Breaker(TRIP)
    for number in range(1, 5):
        breaker.failed(number * 10 * MS)
    assert breaker.state is Circuit.OPEN
    return breaker


def test_it_opens_on_failures_and_tells_how_long() -> None:
    breaker = opened()
    assert breaker.refusal(40 * MS) == 200 * MS
    assert breaker.refusal(140 * MS) == 100 * MS
    assert breaker.opened == 1


def test_it_opens_on_slow_commits_as_on_failures() -> None:
    breaker = Breaker(TRIP)
    for number in range(1, 5):
        breaker.committed(number * 100 * MS, 51 * MS)
    assert breaker.state is Circuit.OPEN


def test_few_commits_prove_nothing_and_old_ones_are_forgotten() -> None:
    breaker = Breaker(TRIP)
    for number in range(3):
        breaker.failed(number * MS)
    breaker.failed(1500 * MS)
    assert breaker.state is Circuit.CLOSED


def test_a_few_pass_half_open_and_close_it_when_they_commit_well() -> None:
    breaker = opened()
    assert breaker.refusal(240 * MS) == 0
    assert state(breaker) is Circuit.HALF_OPEN
    breaker.begun()
    assert breaker.refusal(241 * MS) == 0
    breaker.begun()
    assert breaker.refusal(242 * MS) > 0
    breaker.committed(250 * MS, 5 * MS, events=2)
    assert state(breaker) is Circuit.CLOSED
    assert breaker.refusal(250 * MS) == 0


def test_one_that_fails_or_crawls_half_open_opens_it_again() -> None:
    for latency_ms in (None, 60):
        breaker = opened()
        assert breaker.refusal(240 * MS) == 0
        breaker.begun()
        if latency_ms is None:
            breaker.failed(300 * MS, 10 * MS)
        else:
            breaker.committed(300 * MS, latency_ms * MS)
        assert breaker.refusal(300 * MS) == 200 * MS
        assert breaker.opened == 2


def test_commits_begun_before_it_opened_prove_nothing() -> None:
    breaker = opened()
    breaker.committed(100 * MS, 90 * MS, events=9)
    assert state(breaker) is Circuit.OPEN
    assert breaker.refusal(240 * MS) == 0
    breaker.committed(241 * MS, 100 * MS, events=9)
    assert state(breaker) is Circuit.HALF_OPEN


steps = st.lists(
    st.tuples(
        st.integers(0, 300 * MS), st.sampled_from(["ask", "good", "slow", "fail"]), st.integers(1, 60 * MS)
    ),
    max_size=80,
)


@given(steps)
def test_what_it_says_is_true(told: list[tuple[int, str, int]]) -> None:
    """Closed it refuses nobody, open everybody; a refusal ends when it says; a failure never closes it."""
    breaker, now = Breaker(TRIP), 0
    for pause, what, latency in told:
        now += pause
        before = breaker.state
        if what == "ask":
            wait_ns = breaker.refusal(now)
            assert wait_ns <= TRIP.open_ns
            assert bool(wait_ns) or breaker.state is not Circuit.OPEN
            assert not (wait_ns and before is Circuit.CLOSED)
            now += wait_ns
            assert breaker.refusal(now) == 0
            breaker.begun()
        elif what == "fail":
            breaker.failed(now)
            assert before is Circuit.CLOSED or breaker.state is Circuit.OPEN
        else:
            breaker.committed(now, TRIP.slow_ns + latency if what == "slow" else min(latency, TRIP.slow_ns))


@given(st.lists(st.integers(0, TRIP.open_ns - 1), max_size=40))
def test_half_open_no_more_pass_than_the_probes(pauses: list[int]) -> None:
    breaker, now, passed = opened(), 240 * MS, 0
    for pause in sorted(pauses):
        if not breaker.refusal(now + pause):
            breaker.begun()
            passed += 1
    assert passed <= TRIP.probes


@given(st.lists(st.integers(0, 40 * MS), max_size=200))
def test_commits_that_are_well_never_open_it(pauses: list[int]) -> None:
    breaker, now = Breaker(TRIP), 0
    for pause in pauses:
        now += pause
        breaker.committed(now, TRIP.slow_ns)
    assert (breaker.state, breaker.opened) == (Circuit.CLOSED, 0)


@given(steps)
def test_it_always_closes_again_once_all_is_well(told: list[tuple[int, str, int]]) -> None:
    breaker, now = Breaker(TRIP), 0
    for pause, what, _ in told:
        now += pause
        if what == "ask":
            if not breaker.refusal(now):
                breaker.begun()
        else:
            breaker.failed(now)
    for _ in range(10):
        now += TRIP.open_ns
        if not breaker.refusal(now):
            breaker.begun()
            breaker.committed(now + MS, MS)
            now += MS
    assert breaker.state is Circuit.CLOSED
