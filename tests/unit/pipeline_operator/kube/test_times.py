"""Times as the API writes them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline_operator.kube.times import micro_text_of, text_of, us_of


@given(st.integers(0, 4_000_000_000_000_000))
def test_a_micro_time_comes_back_as_it_was(us: int) -> None:
    assert us_of(micro_text_of(us)) == us
    assert us_of(text_of(us)) == us // 1_000_000 * 1_000_000


def test_what_is_no_time_is_none() -> None:
    for odd in (None, "", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00"):
        assert us_of(odd) is None
