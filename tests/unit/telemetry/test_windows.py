"""Sliding windows equal counting again, for any times, late and early ones included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.clock import NS_PER_S
from pipeline.telemetry.events import GONE
from pipeline.telemetry.latencies import Latencies
from pipeline.telemetry.sketch import BUCKETS, Sketch
from pipeline.telemetry.windows import (
    NO_MAXIMUM,
    NO_MINIMUM,
    SLOT_NS,
    SlidingExtremes,
    SlidingSum,
    slots_of,
    summed,
)

START_NS = 1000 * NS_PER_S
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2 * NS_PER_S),  # time passes
        st.lists(
            st.tuples(st.integers(0, 3), st.integers(1, 100), st.integers(-70 * NS_PER_S, NS_PER_S)),
            max_size=4,
        ),
    ),
    max_size=30,
)


def nones_for_nothing(sketch: Sketch) -> list[int | None]:
    return [*sketch.quantiles()] or [None] * 4


def inside(at_ns: int, now_ns: int, added_at_ns: int, window_ns: int) -> bool:
    """Whether something that ended at `at_ns`, folded at `added_at_ns`, is in the window at `now_ns`."""
    slot_ns, slots = slots_of(window_ns)
    slot = min(at_ns, added_at_ns) // slot_ns
    return slot > now_ns // slot_ns - slots and slot > added_at_ns // slot_ns - slots


@pytest.mark.parametrize("window_s", [1, 5, 60])
@given(steps=STEPS)
def test_a_sliding_sum_equals_brute_force(
    window_s: int, steps: list[tuple[int, list[tuple[int, int, int]]]]
) -> None:
    window_ns = window_s * NS_PER_S
    sums, extremes = SlidingSum(4, window_ns), SlidingExtremes(4, window_ns)
    now_ns = START_NS
    added: list[tuple[int, int, int, int]] = []
    for passes_ns, values in steps:
        now_ns += passes_ns
        sums.advance(now_ns)
        extremes.advance(now_ns)
        for index, amount, offset_ns in values:
            at_ns = now_ns + offset_ns
            at, amounts = np.array([index]), np.array([amount])
            sums.add(at_ns, at, amounts)
            extremes.add(at_ns, at, amounts, amounts)
            added.append((index, amount, at_ns, now_ns))
        held = [
            [a for i, a, at, when in added if i == index and inside(at, now_ns, when, window_ns)]
            for index in range(4)
        ]
        assert sums.running.tolist() == [sum(amounts) for amounts in held]
        least, greatest = extremes.current()
        assert least.tolist() == [min(amounts, default=NO_MINIMUM) for amounts in held]
        assert greatest.tolist() == [max(amounts, default=NO_MAXIMUM) for amounts in held]


@given(steps=STEPS)
def test_latencies_equal_a_sketch_of_what_is_inside(
    steps: list[tuple[int, list[tuple[int, int, int]]]],
) -> None:
    latencies = Latencies((1, 5))
    for event_id in range(4):
        latencies.series_of("agent", event_id)
    now_ns = START_NS
    added: list[tuple[int, int, int, int]] = []
    for passes_ns, values in steps:
        now_ns += passes_ns
        latencies.advance(now_ns)
        if values:
            series, durations, offsets = (np.array(column) for column in zip(*values, strict=True))
            times = np.minimum(now_ns + offsets, now_ns)
            latencies.fold(series, durations, times)
            added += [
                (*one, now_ns)
                for one in zip(series.tolist(), durations.tolist(), times.tolist(), strict=True)
            ]
    for window_s in (1, 5, None):
        for series_id in range(4):
            expected = Sketch()
            expected.add(
                [
                    value
                    for one, value, at, when in added
                    if one == series_id
                    and (window_s is None or inside(at, now_ns, when, window_s * NS_PER_S))
                ]
            )
            found = latencies.sketch([series_id], window_s)
            assert found.to_bytes() == expected.to_bytes()
            figures = latencies.figures([series_id], window_s)
            assert figures.count == expected.count
            assert [figures.p50, figures.p95, figures.p99, figures.p99_9] == nones_for_nothing(expected)
            assert figures.mean == expected.mean


def test_weights_multiply_what_an_entry_stands_for() -> None:
    latencies = Latencies()
    series = latencies.series_of("agent", 1)
    assert series is not None
    latencies.advance(START_NS)
    latencies.fold(np.array([series] * 2), np.array([100, 200]), np.array([START_NS] * 2), np.array([3, 1]))
    figures = latencies.figures([series], 1)
    assert (figures.count, figures.p50, figures.mean, figures.maximum) == (4, 100, 125, 200)


def test_series_are_bounded() -> None:
    latencies = Latencies()
    made = [latencies.series_of("agent", event_id) for event_id in range(300)]
    most = limits.MAX_SERIES - limits.MAX_GONE_SERIES - 1  # these are for what is gone
    assert made[most - 1] == most - 1
    assert made[most] is None
    assert latencies.series_of(GONE, 300) == most
    assert len(latencies.totals.row(limits.MAX_SERIES - 1)) == BUCKETS


def test_slots_cover_their_window() -> None:
    assert slots_of(NS_PER_S) == (SLOT_NS, 10)
    assert slots_of(60 * NS_PER_S) == (NS_PER_S, 60)
    with pytest.raises(ValueError, match="at least"):
        slots_of(SLOT_NS - 1)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-9, 9))))
def test_summed_adds_up_each_index_once(pairs: list[tuple[int, int]]) -> None:
    indices, amounts = summed(
        np.array([index for index, _ in pairs], dtype=np.intp),
        np.array([amount for _, amount in pairs], dtype=np.int64),
    )
    found = dict(zip(indices.tolist(), amounts.tolist(), strict=True))
    assert found == {index: sum(a for i, a in pairs if i == index) for index in {i for i, _ in pairs}}
