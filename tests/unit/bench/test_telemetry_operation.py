"""What the decorator adds to an operation is measured, not computed from a hot loop."""

import time

import pytest

from pipeline.bench.telemetry import operation_row
from pipeline.bench.telemetry_operation import (
    KINDS,
    Added,
    Median,
    Operation,
    compare,
    median_of,
    operation_cost,
)


def spin(ns: int) -> None:
    ends = time.perf_counter_ns() + ns
    while time.perf_counter_ns() < ends:
        pass


def test_what_a_wrapper_spends_around_the_operation_is_found() -> None:
    operation = Operation("computes", 1000)

    def wrapped() -> None:
        spin(50_000)
        operation()
        spin(50_000)

    added = compare(operation, wrapped, operation, 31)
    assert 100_000 <= added.around.ns < 1_000_000
    assert added.around.high_ns >= 100_000


@pytest.mark.parametrize("kind", KINDS)
def test_an_operation_takes_about_as_long_as_is_wanted(kind: str) -> None:
    operation = Operation.of(kind, 2_000_000)
    took = []
    for _ in range(15):
        operation()
        took.append(operation.body_ns)
    assert 200_000 < min(took) < 20_000_000


@pytest.mark.parametrize("choice", ["", "python"])
def test_the_decorator_costs_something_in_a_process_of_its_own(choice: str) -> None:
    added = operation_cost(choice, "computes", 21)
    assert 1e6 < added.operation_ns < 1e8
    assert added.around.low_ns <= added.around.ns <= added.around.high_ns
    assert added.around.high_ns > 0


def test_the_interval_lies_between_order_statistics() -> None:
    found = median_of(list(range(101)))
    assert (found.ns, found.low_ns, found.high_ns) == (50, 40, 60)
    assert median_of([7]) == Median(7, 7, 7)


@pytest.mark.parametrize(("high_ns", "met"), [(999, True), (1001, False)])
def test_the_target_is_met_when_the_whole_interval_is_within_it(high_ns: float, met: bool) -> None:
    around = Median(900, 800, high_ns)
    row = operation_row("C", Added(10e6, around, Median(5e4, -1e5, 2e5)))
    assert row.value == pytest.approx(0.009)
    assert (row.target, row.met) == (0.01, met)
