from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import NS_PER_MS, NS_PER_S, NS_PER_US, US_PER_S, Clock, FakeClock, SystemClock


def test_the_system_s_monotonic_clock_never_falls() -> None:
    clock: Clock = SystemClock()
    readings = [clock.monotonic_ns() for _ in range(1000)]
    assert readings == sorted(readings)


def test_the_system_s_wall_clock_is_in_microseconds_of_this_century() -> None:
    assert 1_600_000_000 * US_PER_S < SystemClock().wall_us() < 4_102_444_800 * US_PER_S


def test_a_fake_clock_moves_only_when_told() -> None:
    clock: Clock = FakeClock(monotonic_ns=5, wall_us=7)
    assert (clock.monotonic_ns(), clock.wall_us()) == (5, 7)
    assert (clock.monotonic_ns(), clock.wall_us()) == (5, 7)


def test_units_add_up() -> None:
    clock = FakeClock(monotonic_ns=0, wall_us=0)
    clock.advance(ns=1, ms=2, s=3)
    assert clock.monotonic_ns() == 3 * NS_PER_S + 2 * NS_PER_MS + 1
    assert clock.wall_us() == 3 * US_PER_S + 2_000


def test_a_clock_does_not_go_back() -> None:
    clock = FakeClock()
    with pytest.raises(ValueError, match="a clock moves forward only: -1000000 ns"):
        clock.advance(ms=-1)


def test_the_wall_clock_can_be_stepped_alone_both_ways() -> None:
    clock = FakeClock(monotonic_ns=1, wall_us=100)
    clock.step_wall(-60)
    assert (clock.monotonic_ns(), clock.wall_us()) == (1, 40)
    clock.step_wall(10)
    assert clock.wall_us() == 50


@given(st.lists(st.integers(0, 10**12).map(lambda us: us * NS_PER_US), max_size=20))
def test_both_clocks_move_together(steps_ns: list[int]) -> None:
    clock = FakeClock(monotonic_ns=0, wall_us=0)
    for step_ns in steps_ns:
        clock.advance(ns=step_ns)
    assert clock.monotonic_ns() == clock.wall_us() * NS_PER_US == sum(steps_ns)
