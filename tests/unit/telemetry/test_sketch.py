"""Log-linear buckets: bounded error, exact merge and subtraction."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.telemetry.sketch import (
    ANSWERS,
    BUCKETS,
    EDGES,
    MAX_VALUE,
    PERCENTILES,
    RELATIVE_ERROR,
    Sketch,
    SketchError,
    bucket_of,
)

VALUES = st.lists(st.integers(0, MAX_VALUE - 1), min_size=1, max_size=200)
SHAPES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "lognormal": lambda dice: dice.lognormal(13, 1, 20_000),
    "bimodal": lambda dice: np.where(dice.random(20_000) < 0.002, 200, 1) * dice.normal(1e6, 1e4, 20_000),
    "pareto": lambda dice: np.minimum(dice.pareto(1, 20_000) * 1000 + 1, 1e13),
    "constant": lambda _: np.full(20_000, 123_457),
    "just below an edge": lambda _: np.repeat(EDGES[2000:2100] - 1, 200),
    "at an edge": lambda _: np.repeat(EDGES[2000:2100], 200),
}


def sketch_of(values: list[int]) -> Sketch:
    sketch = Sketch()
    sketch.add(values)
    return sketch


def nearest_rank(values: list[int], hundredths: int) -> int:
    return sorted(values)[max(1, -(-len(values) * hundredths // 10_000)) - 1]


def test_every_answer_is_within_the_bound_of_both_ends_of_its_bucket() -> None:
    first, last = EDGES[1:-1], np.maximum(EDGES[2:] - 1, EDGES[1:-1])
    answers = ANSWERS[1:-1]
    worst = np.maximum((answers - first) / first, (last - answers) / last)
    assert worst.max() <= RELATIVE_ERROR


def test_buckets_hold_what_their_edges_say() -> None:
    buckets = bucket_of(EDGES[1:])
    assert (np.diff(buckets) >= 0).all()
    assert (EDGES[buckets] <= EDGES[1:]).all()
    small = np.arange(100_000)
    of_small = bucket_of(small)
    assert (EDGES[of_small] <= small).all()
    assert (small < EDGES[of_small + 1]).all()


def test_small_values_are_exact() -> None:
    for value in range(257):
        assert sketch_of([0, value, 10_000]).quantile(50) == value


def test_the_far_end_shares_one_bucket() -> None:
    assert bucket_of(np.array([MAX_VALUE - 1, MAX_VALUE, 1 << 62])).tolist() == [
        BUCKETS - 2,
        BUCKETS - 1,
        BUCKETS - 1,
    ]
    assert sketch_of([1 << 60]).quantile(50) == 1 << 60


@given(VALUES)
def test_percentiles_are_within_the_bound_of_the_nearest_rank(values: list[int]) -> None:
    sketch = sketch_of(values)
    for hundredths, found in zip(PERCENTILES, sketch.quantiles(), strict=True):
        exact = nearest_rank(values, hundredths)
        assert abs(found - exact) <= exact * RELATIVE_ERROR
    assert (sketch.minimum, sketch.maximum, sketch.count) == (min(values), max(values), len(values))
    assert sketch.mean == sum(values) / len(values)


@pytest.mark.parametrize("shape", SHAPES)
def test_percentiles_are_within_the_bound_on_hard_distributions(shape: str) -> None:
    values = SHAPES[shape](np.random.default_rng(7)).astype(np.int64)
    sketch = Sketch()
    sketch.add(values)
    for hundredths, found in zip(PERCENTILES, sketch.quantiles(), strict=True):
        exact = nearest_rank(values.tolist(), hundredths)
        assert abs(found - exact) <= exact * RELATIVE_ERROR


@given(VALUES, VALUES)
def test_merging_equals_adding_and_subtracting_undoes_it(one: list[int], other: list[int]) -> None:
    merged = sketch_of(one)
    merged.merge(sketch_of(other))
    together = sketch_of(one + other)
    assert merged.to_bytes() == together.to_bytes()
    merged.subtract(sketch_of(other))
    assert (merged.counts == sketch_of(one).counts).all()
    assert (merged.count, merged.total) == (len(one), sum(one))
    assert merged.minimum <= min(one)
    assert merged.maximum >= max(one)


def test_subtracting_what_was_never_merged_is_refused() -> None:
    with pytest.raises(ValueError, match="never merged"):
        sketch_of([1]).subtract(sketch_of([5]))


@given(VALUES)
def test_a_sketch_comes_back_from_its_bytes(values: list[int]) -> None:
    sketch = sketch_of(values)
    back = Sketch.from_bytes(sketch.to_bytes())
    assert back.to_bytes() == sketch.to_bytes()
    assert back.quantiles() == sketch.quantiles()


@given(VALUES, VALUES)
def test_merging_what_is_packed_equals_merging_it(one: list[int], other: list[int]) -> None:
    merged, packed = sketch_of(one), sketch_of(one)
    merged.merge(sketch_of(other))
    packed.merge_packed(Sketch.unpack(sketch_of(other).to_bytes()))
    assert packed.to_bytes() == merged.to_bytes()
    both = Sketch()
    both.merge_packed(*(Sketch.unpack(sketch_of(values).to_bytes()) for values in (one, [], other)))
    assert both.to_bytes() == merged.to_bytes()


@given(VALUES, st.data())
def test_damaged_bytes_are_refused_or_read_as_another_sketch(values: list[int], data: st.DataObject) -> None:
    damaged = bytearray(sketch_of(values).to_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = Sketch.from_bytes(bytes(damaged))
    except SketchError:
        return
    assert found.count == int(found.counts.sum())


@pytest.mark.parametrize("data", [b"", b"RLSK", bytes(100)])
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(SketchError):
        Sketch.from_bytes(data)


def test_an_empty_sketch_has_no_percentiles() -> None:
    assert Sketch().quantiles() == []
    assert Sketch().quantile(99) is None
    assert Sketch().mean is None


def test_a_negative_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 ns"):
        Sketch().add([-1])


def test_a_sum_beyond_a_word_is_right_and_a_sketch_of_it_can_be_sent() -> None:
    sketch = Sketch()
    sketch.add(np.array([(1 << 62) + 3] * 5))
    assert sketch.total == 5 * ((1 << 62) + 3)
    assert sketch.mean == pytest.approx(1 << 62)
    sketch.merge(sketch)
    again = Sketch.from_bytes(sketch.to_bytes())
    assert (again.count, again.total) == (10, (1 << 63) - 1)


@pytest.mark.parametrize("percent", [-5, -0.01, 100.01, 101, float("nan"), float("inf"), 99.999, 50.005])
def test_a_percentile_that_there_is_not_is_refused_in_one_line(percent: float) -> None:
    sketch = sketch_of([1, 2, 3])
    with pytest.raises(SketchError, match="percentile") as refused:
        sketch.quantile(percent)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("one", [-1, 10_001, 1 << 70])
def test_hundredths_of_a_percent_beyond_their_range_are_refused(one: int) -> None:
    with pytest.raises(SketchError, match="between 0 and 10000"):
        sketch_of([1, 2, 3]).quantiles((5000, one))


def test_the_outermost_percentiles_are_the_extremes() -> None:
    sketch = sketch_of([10, 200, 3_000_000])
    assert (sketch.quantile(0), sketch.quantile(0.01), sketch.quantile(100)) == (10, 10, 3_000_000)
    assert Sketch().quantile(50) is None
