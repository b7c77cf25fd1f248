"""What a collector may say: figures that are negative, no numbers or beyond belief are named and left out."""

from __future__ import annotations

import math

from pipeline_operator import limits


class Doubts:
    """What one pod said that cannot be; each kind of figure is named once, with how often."""

    __slots__ = ("_found", "_pod")

    def __init__(self, pod: str) -> None:
        self._pod = pod
        self._found: dict[str, list[object]] = {}

    def note(self, figure: str, value: object, allowed: str) -> None:
        entry = self._found.setdefault(figure, [f"{value}", allowed, 0])
        entry[2] = int(str(entry[2])) + 1

    def texts(self) -> list[str]:
        """One line a kind of figure, in the order they were met."""
        return [
            f"{self._pod}: {figure} = {value:.40}, allowed: {allowed}"
            + (f" ({count} times)" if count != 1 else "")
            for figure, (value, allowed, count) in self._found.items()
        ]


def count_within(value: int, window_ms: int, figure: str, doubts: Doubts) -> int:
    """A count of a window; 0 when it cannot be."""
    most = limits.MAX_RATE_A_SECOND * window_ms // 1000
    if 0 <= value <= most:
        return value
    doubts.note(figure, value, f"0 to {most}")
    return 0


def lag_within(value: float, doubts: Doubts) -> int | None:
    """A lag in whole milliseconds; None when it cannot be."""
    return milliseconds_within(value, limits.MAX_LAG_MS, "lag_ms", doubts)


def milliseconds_within(value: float, most: int, figure: str, doubts: Doubts) -> int | None:
    """A figure as a whole number, not above `most`; None when it cannot be."""
    if math.isfinite(value) and 0 <= value <= most:
        return round(value)
    doubts.note(figure, value, f"0 to {most}")
    return None
