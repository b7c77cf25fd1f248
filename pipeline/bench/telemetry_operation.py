"""What `measure_sync` adds to an operation of 10 ms, in a process of its own.

    python -m pipeline.bench.telemetry_operation KIND PAIRS

The operation is 10 ms of processor work: it computes, with next to no memory, or sorts, which drives the
recorder out of the caches near the processor. Decorated and plain calls alternate, and each pair gives a
difference. Two calls of one operation differ by far more than a recorder costs, so the operation notes when
its body begins and ends: `around` is the difference of what the two calls took outside of it, `whole` that of
the calls altogether. Both come as the median over the pairs with its 95 % interval.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from pipeline.telemetry.native import VARIABLE

PAIRS = 201
OPERATION_NS = 10_000_000
EVENT = 15
_TRIALS = 15
_FIRST_SIZE = 20_000


class Median(Struct, frozen=True):
    """A median and its 95 % interval, ns."""

    ns: float
    low_ns: float
    high_ns: float


class Added(Struct, frozen=True):
    """By the decorator, to one operation."""

    operation_ns: float
    """What a plain one takes, the median."""
    around: Median
    whole: Median


class Call(NamedTuple):
    """One call: altogether, and outside of the operation's body; ns."""

    whole_ns: int
    around_ns: int


def _compute(size: int) -> Callable[[], object]:
    def work() -> int:
        found = 1
        for number in range(size):
            found = (found * 31 + number) & 0xFFFF
        return found

    return work


def _sort(size: int) -> Callable[[], object]:
    values = np.random.default_rng(1).random(size).tolist()
    return lambda: sorted(values)


KINDS = {"computes": _compute, "sorts": _sort}


class Operation:
    """Work of a size, which notes how long its body took."""

    def __init__(self, kind: str, size: int) -> None:
        self._work = KINDS[kind](size)
        self.body_ns = 0

    def __call__(self) -> None:
        begun = time.perf_counter_ns()
        self._work()
        self.body_ns = time.perf_counter_ns() - begun

    @classmethod
    def of(cls, kind: str, wanted_ns: int) -> Operation:
        """One that takes about so long here."""
        size = _FIRST_SIZE
        for _ in range(3):
            trial = cls(kind, size)
            took_ns = statistics.median(_timed(trial, trial).whole_ns for _ in range(_TRIALS))
            size = max(1, round(size * wanted_ns / took_ns))
        return cls(kind, size)


def measure_added(kind: str, pairs: int, wanted_ns: int = OPERATION_NS) -> Added:
    """With the writer that this process has."""
    from pipeline.telemetry import measure_sync

    operation = Operation.of(kind, wanted_ns)

    def plain() -> None:
        operation()

    decorated = measure_sync(EVENT)(plain)
    return compare(operation, decorated, plain, pairs)


def compare(
    operation: Operation, decorated: Callable[[], None], plain: Callable[[], None], pairs: int
) -> Added:
    """Both call `operation`. Which of a pair comes first alternates."""
    calls: dict[Callable[[], None], list[Call]] = {decorated: [], plain: []}
    order = (decorated, plain)
    for _ in range(pairs + 1):
        for function in order:
            calls[function].append(_timed(function, operation))
        order = (order[1], order[0])
    with_it, without = calls[decorated][1:], calls[plain][1:]  # the first makes the ring
    both = list(zip(with_it, without, strict=True))
    return Added(
        statistics.median(one.whole_ns for one in without),
        median_of([one.around_ns - other.around_ns for one, other in both]),
        median_of([one.whole_ns - other.whole_ns for one, other in both]),
    )


def _timed(function: Callable[[], None], operation: Operation) -> Call:
    begun = time.perf_counter_ns()
    function()
    whole_ns = time.perf_counter_ns() - begun
    return Call(whole_ns, whole_ns - operation.body_ns)


def median_of(values: Sequence[float]) -> Median:
    """With the interval between order statistics that holds the true one in 95 of 100 cases, whatever the
    distribution (normal approximation of the binomial)."""
    ordered = sorted(values)
    last = len(ordered) - 1
    reach = math.ceil(0.98 * math.sqrt(len(ordered)))
    return Median(
        statistics.median(ordered),
        ordered[max(0, last // 2 - reach)],
        ordered[min(last, (last + 1) // 2 + reach)],
    )


def operation_cost(choice: str, kind: str, pairs: int = PAIRS) -> Added:
    """In a process with this writer (`native.VARIABLE`)."""
    command = [sys.executable, "-m", "pipeline.bench.telemetry_operation", kind, str(pairs)]
    environment = {**os.environ, VARIABLE: choice}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return msgspec.json.decode(done.stdout, type=Added)


def main(kind: str, pairs: int) -> int:
    print(msgspec.json.encode(measure_added(kind, pairs)).decode())  # noqa: T201 - the protocol
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
