"""Counted things in sentences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_operator.words import counted, duration, plural


def test_one_is_no_plural() -> None:
    assert [counted(count, "pod") for count in (0, 1, 2, 1200)] == ["0 pods", "1 pod", "2 pods", "1,200 pods"]
    assert (plural(1, "stage"), plural(3, "stage")) == ("stage", "stages")


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(600_000, "10 minutes"), (60_000, "1 minute"), (90_000, "90 s"), (1_500, "1.5 s"), (1_000, "1 s"),
     (3_000, "3 s"), (250, "250 ms"), (0, "0 ms"), (3_600_000, "60 minutes")],
)  # fmt: skip
def test_a_duration_is_said_as_people_do(milliseconds: int, text: str) -> None:
    assert duration(milliseconds) == text


@given(st.integers(0, 3_600_000))
def test_a_duration_loses_nothing(milliseconds: int) -> None:
    number, unit = duration(milliseconds).replace(",", "").split()
    each_ms = {"ms": 1, "s": 1_000, "minute": 60_000, "minutes": 60_000}[unit]
    assert round(float(number) * each_ms) == milliseconds
