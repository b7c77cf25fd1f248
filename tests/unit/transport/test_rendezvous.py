from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipeline.transport.rendezvous import owner, weight


def test_weights_are_the_same_on_every_machine_and_version() -> None:
    assert weight("AAPL", 0) == 0xB4570EDD19077448


@given(st.text(max_size=20), st.sets(st.integers(0, 64), min_size=1), st.integers(0, 64))
def test_a_worker_that_joins_takes_keys_and_moves_none_between_others(
    key: str, ordinals: set[int], joining: int
) -> None:
    assert owner(key, ordinals | {joining}) in {owner(key, ordinals), joining}


@given(st.text(max_size=20), st.sets(st.integers(0, 64), min_size=2))
def test_a_worker_that_leaves_moves_only_its_own_keys(key: str, ordinals: set[int]) -> None:
    leaving = max(ordinals)
    before = owner(key, ordinals)
    if before != leaving:
        assert owner(key, ordinals - {leaving}) == before


def test_keys_spread_evenly() -> None:
    shares = Counter(owner(f"key-{n}", range(4)) for n in range(4_000))
    assert min(shares.values()) > 850


def test_without_workers_a_key_has_no_owner() -> None:
    assert owner("AAPL", []) is None
