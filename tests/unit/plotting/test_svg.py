from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.plotting.svg import Line, Range, lines, nice_ticks, ranges

finite = st.floats(-1e9, 1e9, allow_nan=False)


@given(finite, finite)
def test_ticks_enclose_their_values_in_equal_round_steps(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert ticks == sorted(ticks)
    assert 2 <= len(ticks) <= 13
    slack = 1e-9 * max(1.0, abs(low), abs(high))
    if high > low:
        assert ticks[0] <= low + slack
        assert ticks[-1] >= high - slack


@given(st.lists(finite, min_size=2, max_size=20))
def test_every_point_lies_within_the_drawing(values: list[float]) -> None:
    drawing = lines([Line("a", list(range(len(values))), values)], x_text=str, y_text=str, title="t")
    points = drawing.split('points="')[1].split('"')[0]
    for point in points.split():
        x, y = map(float, point.split(","))
        assert 0 <= x <= 760
        assert 0 <= y <= 260


def test_one_point_is_no_line() -> None:
    assert lines([Line("a", [1], [1])], x_text=str, y_text=str, title="t") == ""


def test_names_are_escaped() -> None:
    drawing = lines([Line("<b>", [1, 2], [1, 1])], x_text=str, y_text=str, title='"t"')
    assert "<b>" not in drawing
    assert 'aria-label="&quot;t&quot;"' in drawing


def test_a_range_without_positive_values_is_not_drawn() -> None:
    assert ranges([Range("a", [("p50", 0.0)])], x_text=str, title="t") == ""


def test_a_range_shows_its_marks_and_its_reference() -> None:
    drawing = ranges([Range("a", [("p50", 0.5), ("p99", 20.0)], 7.0)], x_text=str, title="t")
    assert drawing.count("<circle") == 2
    assert drawing.count("<path") == 1
