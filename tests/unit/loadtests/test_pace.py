from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from loadtests.pace import Pace
from pipeline.clock import NS_PER_S


@given(st.floats(0.1, 1000), st.floats(0, 1))
def test_intended_times_are_evenly_apart_whatever_happens(per_s: float, phase: float) -> None:
    pace = Pace(per_s, 1000, phase)
    times = [pace.take() for _ in range(50)]
    gaps = {b - a for a, b in pairwise(times)}
    assert 1000 <= times[0] <= 1001 + NS_PER_S / per_s
    assert max(gaps) - min(gaps) <= 1


def test_who_is_late_waits_for_nothing_and_skips_nothing() -> None:
    pace = Pace(10, 0, 0.0)
    assert pace.take() == 0
    assert pace.wait_s(NS_PER_S) == 0
    assert [pace.take() for _ in range(3)] == [100_000_000, 200_000_000, 300_000_000]
    assert pace.wait_s(300_000_000) == 0.1
