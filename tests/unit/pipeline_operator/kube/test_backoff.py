"""How long the API server is left alone."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import NS_PER_S
from pipeline_operator import limits
from pipeline_operator.kube.backoff import Backoff, retry_after_s


@given(st.integers(1, 60), st.integers(0, 2**32))
def test_it_grows_to_its_bound_and_never_past_it(failures: int, seed: int) -> None:
    backoff = Backoff(random.Random(seed))
    for _ in range(failures):
        backoff.failed(0)
    assert backoff.waits(round(limits.FIRST_BACKOFF_S * NS_PER_S / 2) - 1)
    assert not backoff.waits(round(limits.MAX_BACKOFF_S * NS_PER_S) + 1)


def test_it_never_comes_back_before_it_was_asked_to() -> None:
    backoff = Backoff()
    backoff.failed(0, 7.0)
    assert backoff.waits(7 * NS_PER_S - 1)
    assert not backoff.waits(7 * NS_PER_S)


def test_an_absurd_wish_is_cut_and_success_ends_it() -> None:
    backoff = Backoff()
    backoff.failed(0, 1e9)
    assert not backoff.waits(round(limits.MAX_RETRY_AFTER_S * NS_PER_S))
    backoff.worked()
    assert not backoff.waits(0)


def test_retry_after_is_a_number_or_a_date_and_anything_else_is_none() -> None:
    assert retry_after_s("3", 0.0) == 3.0
    assert retry_after_s("Thu, 01 Jan 1970 00:00:10 GMT", 4.0) == 6.0
    assert retry_after_s("Thu, 01 Jan 1970 00:00:10 GMT", 40.0) == 0.0
    for odd in (None, "", "-3", "soon", "1e9", "٣", "9" * 30):
        assert retry_after_s(odd, 0.0) is None
