"""Sampling keeps counts right, whatever the rate and however it changes."""

import random
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.telemetry.layout import (
    CORRELATION_SHIFT,
    EVENT_MASK,
    KIND_MASK,
    KIND_SHIFT,
    WEIGHT_MASK,
    WEIGHT_SHIFT,
    Kind,
)
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.ring import memory_ring
from pipeline.telemetry.sampling import Sampler, check_rate
from pipeline.telemetry.source import Source
from pipeline.telemetry.stats import MetricsStats

RATES = st.one_of(st.just(1.0), st.just(0.0), st.floats(0.002, 1))


class Kept:
    """A put that adds up what its entries stand for, as a reader would."""

    def __init__(self) -> None:
        self.calls: dict[int, int] = {}
        self.written = 0

    def __call__(self, _end_ns: int, _value: int, what: int) -> bool:
        self.written += 1
        assert what >> KIND_SHIFT & KIND_MASK == Kind.DURATION
        event_id = what & EVENT_MASK
        self.calls[event_id] = self.calls.get(event_id, 0) + 1 + (what >> WEIGHT_SHIFT & WEIGHT_MASK)
        return True


@given(RATES, st.integers(0, 3000), st.integers(1, 3), st.randoms(use_true_random=False))
def test_the_count_is_off_by_less_than_one_stratum(
    rate: float, calls: int, events: int, dice: random.Random
) -> None:
    kept = Kept()
    sampler = Sampler(kept, lambda: rate, dice.randrange)
    for number in range(calls):
        sampler(1, 5, number % events + 1)
    for event_id in range(1, events + 1):
        made = len(range(event_id - 1, calls, events))
        if rate == 0:
            assert not kept.calls
        else:
            assert abs(kept.calls.get(event_id, 0) - made) <= 1 / rate + 1


@given(st.lists(st.tuples(RATES, st.integers(1, 400)), max_size=8), st.randoms(use_true_random=False))
def test_counts_stay_right_when_the_rate_changes(steps: list[tuple[float, int]], dice: random.Random) -> None:
    kept, now = Kept(), [1.0]
    sampler = Sampler(kept, lambda: now[0], dice.randrange)
    made, slack = 0, 0.0
    for rate, calls in steps:
        now[0] = rate
        for _ in range(calls):
            sampler(1, 5, 7)
        if rate:
            made += calls
            slack += 1 / rate + 1
    assert abs(kept.calls.get(7, 0) - made) <= slack


def test_about_the_wanted_share_is_written() -> None:
    kept = Kept()
    sampler = Sampler(kept, lambda: 0.3)
    for _ in range(30_000):
        sampler(1, 5, 7)
    assert kept.written == pytest.approx(9000, rel=0.02)


def test_what_calls_are_tied_to_takes_no_memory_and_spoils_no_count() -> None:
    kept = Kept()
    sampler = Sampler(kept, lambda: 0.1, random.Random(1).randrange)
    for request in range(10_000):
        sampler(1, 5, 7 | request << CORRELATION_SHIFT)
    assert kept.calls[7] == pytest.approx(10_000, abs=11)
    assert len(sampler._strata) <= 1


def test_a_pattern_of_fast_and_slow_calls_cannot_hide() -> None:
    values: list[int] = []

    def put(_end: int, value: int, _what: int) -> bool:
        values.append(value)
        return True

    sampler = Sampler(put, lambda: 0.5, random.Random(1).randrange)
    for number in range(10_000):
        sampler(1, number % 2, 7)
    assert 0.45 < sum(values) / len(values) < 0.55


def test_what_found_no_room_changes_no_weight() -> None:
    ring = memory_ring("w", 64)
    reader, stats = RingReader(ring.memory, ring.identity), MetricsStats()
    source, rate, into = Source(reader), [1.0], np.zeros((64, 4), dtype=np.int64)
    sampler = Sampler(ring.put, lambda: rate[0])

    def call(times: int) -> list[bool]:
        return [sampler(time.monotonic_ns(), 5, 7) for _ in range(times)]

    assert all(call(64))
    rate[0] = 0.5
    assert not any(call(10))
    stats.fold(source, into, reader.drain(into))
    assert stats.get_stats(7).count == 64
    call(20)
    stats.fold(source, into, reader.drain(into))
    assert stats.get_stats(7).count == pytest.approx(64 + 20, abs=2)


@pytest.mark.parametrize("rate", [-0.1, 1.1, 0.0001])
def test_a_rate_beyond_its_range_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="sampling rate"):
        check_rate(rate)
