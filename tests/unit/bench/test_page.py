"""The page's bench: a point that is missing is counted, and its viewer holds what a browser holds."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pipeline import limits
from pipeline.bench.page import Figures, Options, results
from pipeline.bench.page_viewer import DELAY_MS, HEARTBEAT_MS, ROWS, Points
from pipeline.web.assets import assets
from pipeline.web.view import HAPPENED


@pytest.mark.parametrize(
    ("told", "missed", "doubled"),
    [
        ([[1, 2], [3], [4, 5]], 0, 0),
        ([[1, 2], [4]], 1, 0),
        ([[1], [5, 7]], 4, 0),
        ([[2, 3]], 1, 0),
        ([[1, 2], [2, 3]], 0, 1),
        ([list(range(8, 8 + limits.PAGE_POINTS)), [908]], 0, 0),
        ([list(range(8, 8 + limits.PAGE_POINTS)), [910]], 2, 0),
    ],
)
def test_points_that_do_not_come_and_points_that_come_twice_are_counted(
    told: list[list[int]], missed: int, doubled: int
) -> None:
    points = Points()
    for numbers in told:
        points.take(numbers)
    assert (points.missed, points.doubled) == (missed, doubled)


def figures(**changes: Any) -> Figures:
    given: dict[str, Any] = {
        "without": (5.0, 5.0), "one": (6.0, 6.0), "many": (8.0, 8.0), "frames_per_s": 10.0,
        "messages_per_s": 12.0, "stream_bytes": 20_000, "missed": 0, "doubled": 0,
    } | changes  # fmt: skip
    return Figures(**given)


def test_one_missed_or_doubled_point_fails_the_bench() -> None:
    assert all(one.met is not False for one in results(figures(), Options()))
    for name in ("missed", "doubled"):
        failed = [one.name for one in results(figures(**{name: 1}), Options()) if one.met is False]
        assert failed == [f"points {name}"]


def test_its_viewer_asks_for_the_rows_that_the_page_asks_for() -> None:
    text = assets()["/page/rows.js"].content.decode()
    names = re.search(r"HAPPENED = (\[.*\]);", text)
    assert names is not None
    assert "".join(f"&outcome={name}" for name in re.findall(r"\w+", names[1])) == HAPPENED
    assert f"SHOWN = {ROWS};" in text
    assert f"heartbeat_ms={HEARTBEAT_MS}&delay_ms={DELAY_MS}$" in text
