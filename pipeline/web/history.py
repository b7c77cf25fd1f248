"""The plots' past: a bounded row of numbered points, so that whoever comes, or comes back, misses none.

Numbers are one server's own, which its epoch names: a server that began anew counts from 1 again, and what a
viewer has of another one's says nothing about what it lacks of this one's.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable
from itertools import islice

from msgspec import Struct

from pipeline import limits
from pipeline.web.view import Point


class Place(Struct, frozen=True):
    """The last point that a viewer has: `number` of the server `epoch`. Written `EPOCH:N`."""

    epoch: str = ""
    number: int = 0

    def __str__(self) -> str:
        return f"{self.epoch}:{self.number}"

    @classmethod
    def of(cls, text: str) -> Place:
        """A number alone is of no server that is known. Raises ValueError for what is no place."""
        epoch, _, number = text.rpartition(":")
        named = not epoch or (epoch.isascii() and epoch.isalnum())
        short = len(epoch) <= limits.MAX_EPOCH_TEXT and len(number) <= limits.MAX_POINT_DIGITS
        if not (named and short and number.isascii() and number.isdigit()):
            raise ValueError(text)
        return cls(epoch, int(number))


class History:
    """Points at least `limits.PAGE_POINT_MS` apart, the newest `limits.PAGE_POINTS` of them."""

    def __init__(self, epoch: str | None = None) -> None:
        """`epoch`: letters and digits that no other server has; drawn by lot unless given."""
        self.epoch = epoch or secrets.token_hex(8)
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

    def seen(self, place: Place) -> int:
        """How far a viewer at `place` has this server's points: 0 when it has another one's."""
        return place.number if place.epoch == self.epoch and place.number < self.next_number else 0

    def after(self, number: int) -> tuple[Point, ...]:
        missing = self.next_number - 1 - number  # they are numbered without a gap
        return tuple(islice(reversed(self._points), max(0, missing)))[::-1]


def go_on(points: deque[Point], fresh: Iterable[Point], *, same: bool) -> None:
    """Adds to what a viewer has, as the page's plots do it: a point without figures stands where one was
    missed or, unless it is the `same` server, where another one began. Of moments told twice the new stay."""
    for point in fresh:
        while points and points[-1].at_ms >= point.at_ms:
            points.pop()
            same = False
        if points and points[-1].number and not (same and point.number == points[-1].number + 1):
            points.append(_gap(points[-1].at_ms))
        points.append(point)
        same = True


def _gap(at_ms: int) -> Point:
    return Point(
        number=0, at_ms=at_ms, count=0, lost=0, p50_ms=None, p95_ms=None, p99_ms=None, rate_per_s=0.0,
        lag_ms=(),
    )  # fmt: skip
