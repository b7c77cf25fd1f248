from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipeline.transport.hot_keys import HotKeys

SIZE = 4


@given(st.lists(st.sampled_from("abcdefghij"), max_size=300))
def test_a_key_above_its_share_is_there_and_its_count_is_low_by_no_more_than_the_bound(keys: str) -> None:
    hot, exact = HotKeys(SIZE), Counter(keys)
    for key in keys:
        hot.add(key)
    found = dict(hot.top(100))
    assert len(found) <= SIZE
    bound = len(keys) / (SIZE + 1)
    for key, count in exact.items():
        assert count - bound <= found.get(key, 0) <= count


def test_the_past_fades() -> None:
    hot = HotKeys(SIZE)
    for key in "aaaaab":
        hot.add(key)
    assert hot.top(1) == [("a", 5)]
    hot.cool()
    assert hot.top(5) == [("a", 2)]
