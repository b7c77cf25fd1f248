"""The last things that happened in a run, for a seed that fails."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from pipeline.clock import NS_PER_MS

KEPT = 60


class ViolationError(Exception):
    """Something that must always hold did not."""


class Story:
    """A bounded list of lines, each with its simulated time, and counts of what was told."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._start_ns = now_ns()
        self._lines: deque[str] = deque(maxlen=KEPT)
        self.counts: Counter[str] = Counter()

    def tell(self, what: str, detail: str = "") -> None:
        """`what` is counted, `detail` is told with it."""
        self.counts[what] += 1
        at_ms = (self._now_ns() - self._start_ns) / NS_PER_MS
        self._lines.append(f"{at_ms:10.2f} ms  {what} {detail}".rstrip())

    def lines(self) -> list[str]:
        return list(self._lines)
