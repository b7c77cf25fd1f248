"""Whose answer is waited for."""

from __future__ import annotations

import pytest

from pipeline_operator.runtime.observe import _should_answer
from pipeline_operator.runtime.seen import SeenPod
from pipeline_operator.spec import Tuning

NOW_US = 1_700_000_000_000_000


def a_pod(ready_us: int | None) -> SeenPod:
    return SeenPod("ns", "agent-0", "uid", "set", NOW_US - 60_000_000, ready_us, 0, False, False)


@pytest.mark.parametrize(
    ("ready_us", "has_answered", "expected"),
    [
        (None, True, False),
        (NOW_US - 100_000, False, False),
        (NOW_US - 100_000, True, True),
        (NOW_US - 3_000_000, False, True),
    ],
)
def test_a_new_pod_is_expected_once_it_has_answered_or_had_the_time_to(
    ready_us: int | None, has_answered: bool, expected: bool
) -> None:
    assert _should_answer(a_pod(ready_us), has_answered, Tuning(), NOW_US) is expected
