from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.replay.pacer import Pacer


def test_without_a_rate_the_slot_is_now() -> None:
    pacer = Pacer(None, 100)
    assert [pacer.slot_ns(now) for now in (500, 700)] == [500, 700]


@given(st.floats(0.1, 100_000), st.lists(st.integers(0, 10**12), min_size=2, max_size=50))
def test_slots_are_a_grid_that_lateness_does_not_move(rate: float, moments: list[int]) -> None:
    pacer = Pacer(rate, 1_000)
    slots = [pacer.slot_ns(now) for now in moments]
    assert slots == [1_000 + int(index * 1e9 / rate) for index in range(len(moments))]
