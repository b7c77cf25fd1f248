"""The plots' past: a bounded row of numbered points, so that whoever comes, or comes back, misses none."""

from __future__ import annotations

from collections import deque

from pipeline import limits
from pipeline.web.view import Point


class History:
    """Points at least `limits.PAGE_POINT_MS` apart, the newest `limits.PAGE_POINTS` of them."""

    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=limits.PAGE_POINTS)

    @property
    def next_number(self) -> int:
        return self._points[-1].number + 1 if self._points else 1

    def due(self, at_ms: int) -> bool:
        """Whether a moment is far enough from the last point. A clock that was set back begins anew there."""
        last_ms = self._points[-1].at_ms if self._points else None
        return last_ms is None or at_ms < last_ms or at_ms - last_ms >= limits.PAGE_POINT_MS

    def add(self, point: Point) -> None:
        self._points.append(point)

    def after(self, number: int) -> tuple[Point, ...]:
        """Points after `number`; all of them if it is of another server's time (greater than any here)."""
        if self._points and number > self._points[-1].number:
            number = 0
        return tuple(point for point in self._points if point.number > number)
