from __future__ import annotations

import pytest

from loadtests.tally import ACCEPTED, Collected, Tally


def tallied(second: int, *values_ns: int) -> Tally:
    tally = Tally()
    moment = tally.turn(second)
    moment.met += len(values_ns)
    for value_ns in values_ns:
        tally.latency(ACCEPTED, value_ns)
        tally.status(second, "event", 202)
    return tally


def test_a_second_is_handed_out_once_it_is_over() -> None:
    tally = tallied(10, 1_000_000)
    assert tally.take() == []
    tally.turn(11)
    (moment,) = tally.take()
    assert (moment.second, moment.met, moment.statuses) == (10, 1, {"202": 1})
    assert tally.take() == []


def test_processes_merge_exactly() -> None:
    collected = Collected()
    for values in ((1_000_000, 3_000_000), (2_000_000,)):
        tally = tallied(10, *values)
        tally.close()
        collected.add(tally.take(), step=2)
    assert collected.totals.met == collected.steps[2].met == collected.seconds[10].met == 3
    assert collected.totals.quantile_ms(ACCEPTED, 50) == pytest.approx(2.0, rel=0.004)
    assert collected.totals.statuses == {"202": 3}
    assert collected.p95_ms([10]) == pytest.approx(3.0, rel=0.004)
    assert collected.seconds[10].p95_ns == pytest.approx(3_000_000, rel=0.004)


def test_a_long_test_keeps_the_sketches_of_its_last_seconds_only() -> None:
    collected = Collected()
    for second in range(100):
        tally = tallied(second, 1_000_000)
        tally.close()
        collected.add(tally.take())
    assert len(collected.ordered()) == 100
    assert all(second.p95_ns for second in collected.ordered())
    assert collected.p95_ms([0]) is None
    assert collected.p95_ms([99]) is not None


def test_what_was_planned_of_a_second_that_is_over_is_booked_there() -> None:
    tally = tallied(10, 1)
    tally.turn(11)
    tally.book(10, 5.0, 3)
    collected = Collected()
    collected.add(tally.take())
    second = collected.seconds[10]
    assert (second.planned, second.users, second.met) == (5.0, 3, 1)


def test_kinds_of_errors_are_bounded() -> None:
    tally = Tally()
    tally.turn(1)
    for number in range(100):
        tally.fault(f"fault {number}")
    tally.close()
    (moment,) = tally.take()
    assert len(moment.faults) == 21
    assert moment.faults["others"] == 80


def test_nothing_measured_has_no_percentile() -> None:
    assert Collected().totals.quantile_ms(ACCEPTED, 95) is None
