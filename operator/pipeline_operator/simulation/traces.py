"""Traces of load: shipped ones as tables, and a user's own as a CSV of counts a minute."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import MissingError
from pipeline_operator import limits
from pipeline_operator.errors import TraceError
from pipeline_operator.words import counted

DIURNAL_S = 3_600
"""A day in an hour: the slopes are 24 times steeper than a real day's."""


class Trace(NamedTuple):
    """Load over time: `points` are (second, messages a second), the load between two is on their line."""

    name: str
    meaning: str
    points: tuple[tuple[float, float], ...]

    @property
    def seconds(self) -> int:
        return int(self.points[-1][0])

    def at(self, second: float) -> float:
        """Messages a second at this moment; that of the ends beyond them."""
        points = self.points
        low, high = 0, len(points) - 1
        if second >= points[high][0] or second <= points[0][0]:
            return points[high if second > points[0][0] else 0][1]
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if points[middle][0] <= second else (low, middle)
        (begin, first), (end, last) = points[low], points[high]
        return first if end <= begin else first + (last - first) * (second - begin) / (end - begin)


def stairs(steps: Sequence[tuple[float, float]], seconds: float) -> tuple[tuple[float, float], ...]:
    """Points of a load that jumps to each rate at its second and stays there."""
    points: list[tuple[float, float]] = []
    for index, (begin, rate) in enumerate(steps):
        end = steps[index + 1][0] if index + 1 < len(steps) else seconds
        points += [(begin, rate), (end, rate)]
    return tuple(points)


def _diurnal() -> tuple[tuple[float, float], ...]:
    """Quiet nights, an opening rush, a busy afternoon."""
    points = []
    for second in range(0, DIURNAL_S + 1, 30):
        hour = 24 * second / DIURNAL_S
        rush = math.exp(-(((hour - 9.5) / 0.9) ** 2))
        day = math.exp(-(((hour - 14.5) / 3.2) ** 2))
        points.append((float(second), 60 + 700 * rush + 900 * day))
    return tuple(points)


SHIPPED = (
    Trace(
        "steps",
        "the load doubles, doubles again, falls and rises",
        stairs([(0, 150), (300, 300), (600, 900), (1000, 1500), (1300, 400), (1700, 800)], 2100),
    ),
    Trace(
        "spikes",
        "five bursts of 20 to 90 s, five to ten times the load between them",
        stairs(
            [(0, 120), (240, 900), (270, 120), (600, 1200), (690, 120), (960, 700), (980, 120),
             (1320, 1000), (1380, 120), (1680, 1200), (1740, 120)],
            2100,
        ),
    ),
    Trace("diurnal", "a day in an hour: quiet night, opening rush, busy afternoon", _diurnal()),
    Trace("ramp", "from 100 to 1,500 within ten minutes, and back",
          ((0, 100), (300, 100), (900, 1500), (1200, 1500), (1800, 100), (2100, 100))),
    Trace("constant", "the same load all the time", ((0, 480), (1800, 480))),
)  # fmt: skip


def read_trace(file: Path) -> Trace:
    """A CSV with one count of messages a minute in the last column of each row; a heading may come first, in
    which nothing looks like a number. A byte order mark and empty rows are passed over.

    Raises MissingError when it cannot be read, TraceError when it is none.
    """
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MissingError(f"trace {file}: cannot be read: {error}") from None
    if rows and _is_heading(rows[0][1]):
        rows = rows[1:]
    if not 2 <= len(rows) <= limits.MAX_TRACE_MINUTES:
        told = counted(len(rows), "minute")
        raise TraceError(f"trace {file}: {told}, allowed: 2 to {limits.MAX_TRACE_MINUTES}")
    points = []
    for index, (line, row) in enumerate(rows):
        text = row[-1].strip()
        if not _is_count(text) or float(text) > limits.MAX_TRACE_COUNT:
            raise TraceError(
                f"trace {file}, line {line}, minute {index + 1}: {text!r:.40} is no count of messages, "
                f"allowed: 0 to {limits.MAX_TRACE_COUNT}"
            )
        points += [(60.0 * index, float(text) / 60), (60.0 * (index + 1), float(text) / 60)]
    return Trace(file.stem, f"{counted(len(rows), 'minute')} of {file.name}", tuple(points))


_NUMBERLIKE = re.compile(r"[-+.,$€£]*\d|[-+]?(nan|inf|infinity)$", re.ASCII | re.IGNORECASE)
_NOTHING = ("", "-", "–", "na", "n/a", "#n/a", "null", "none")
"""What programs write where there is no number."""


def _is_heading(row: Sequence[str]) -> bool:
    """Names, and a last one that is no gap: a first row with anything like a number is one of counts, and a
    wrong one is told, not dropped."""
    cells = [cell.strip() for cell in row]
    return not any(_NUMBERLIKE.match(cell) for cell in cells) and cells[-1].lower() not in _NOTHING


def _is_count(text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return math.isfinite(value) and value >= 0
