from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.plotting.svg import Line, Range, lines, nice_ticks, ranges

finite = st.floats(-1e9, 1e9, allow_nan=False)


@given(finite, finite)
@example(0.0, 5e-324)
@example(5e-324, 5e-324)
@example(-1e-300, 1e-300)
@example(1e9, 1e9 + 2e-7)
def test_ticks_enclose_their_values_in_equal_round_steps(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert ticks == sorted(ticks)
    assert 2 <= len(ticks) <= 13
    slack = 1e-9 * max(1.0, abs(low), abs(high))
    if high > low:
        assert ticks[0] <= low + slack
        assert ticks[-1] >= high - slack


def test_a_span_too_small_to_divide_is_drawn_as_a_point() -> None:
    assert nice_ticks(0.0, 5e-324) == nice_ticks(0.0, 0.0) == [-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6]


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


@given(st.integers(1, 60))
def test_labels_below_a_plot_stand_apart(characters: int) -> None:
    line = Line("a", [0, 1], [0, 1])
    drawing = lines([line], x_text=lambda _: "x" * characters, y_text=str, title="t")
    labels = re.findall(r'<text x="([0-9.]+)" y="252.0" text-anchor="(\w+)">(x+)</text>', drawing)
    assert 2 <= len(labels) <= 6
    width = 7 * characters
    shift = {"start": 0.0, "middle": 0.5, "end": 1.0}
    spans = [
        (float(x) - shift[anchor] * width, float(x) + (1 - shift[anchor]) * width) for x, anchor, _ in labels
    ]
    if width < 300:
        assert all(left[1] < right[0] for left, right in pairwise(spans))
