from __future__ import annotations

import time

import pytest

from pipeline.performance.reference import reference_loop
from pipeline.performance.rounds import round_of, take_rounds
from pipeline.performance.stopwatch import timed_ms


def test_the_reference_loop_always_does_the_same_work() -> None:
    assert reference_loop() == reference_loop()


def test_a_call_that_waits_is_timed_by_the_wall_clock() -> None:
    assert timed_ms(lambda: time.sleep(0.02)) >= 20


def test_a_call_that_never_waits_is_timed_by_its_own_cpu() -> None:
    started_ns = time.thread_time_ns()
    found_ms = timed_ms(lambda: sum(range(50_000)))
    assert 0 < found_ms <= (time.thread_time_ns() - started_ns) / 1e6


def test_a_round_s_cost_is_free_of_the_machine_s_speed() -> None:
    slow = round_of([2.0, 4.0, 6.0], [10.0])
    fast = round_of([1.0, 2.0, 3.0], [5.0])
    assert slow.cost == fast.cost == 0.6


def test_every_round_has_its_passes_after_one_to_warm_up() -> None:
    prepared = []

    def prepare(calls: int) -> list[type[int]]:
        prepared.append(calls)
        return [int] * calls

    found = take_rounds(prepare, rounds=3, calls=5, passes=2)
    assert len(found) == 3
    assert prepared == [5] * 8
    assert all(item.calls == 5 and item.reference_ms > 0 for item in found)


def test_a_call_counts_as_its_fastest_pass() -> None:
    slept = iter([0.02, 0.0, 0.02, 0.0])
    found = take_rounds(lambda calls: [lambda: time.sleep(next(slept))], rounds=1, calls=1, passes=2)
    assert found[0].max_ms < 20


def test_nothing_to_call_is_no_rounds() -> None:
    assert take_rounds(lambda calls: [], rounds=3, calls=5) == ()


def test_what_a_call_raises_passes_through() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        take_rounds(lambda calls: [fail], rounds=1, calls=1)
