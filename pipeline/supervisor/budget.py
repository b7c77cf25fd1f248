"""How often a worker may be restarted, and how long to wait before each time."""

from __future__ import annotations

from collections import deque

from pipeline import limits
from pipeline.clock import NS_PER_S


class RestartBudget:
    """`restarts` within any `window_s`; the pause doubles with each one that is still in the window."""

    __slots__ = ("_spent_ns", "_window_ns", "restarts")

    def __init__(self, restarts: int, window_s: int) -> None:
        self.restarts = restarts
        self._window_ns = window_s * NS_PER_S
        self._spent_ns: deque[int] = deque()

    def spend(self, now_ns: int) -> float | None:
        """The pause (seconds) before the restart that this asks for; None when the budget is spent."""
        while self._spent_ns and self._spent_ns[0] <= now_ns - self._window_ns:
            self._spent_ns.popleft()
        before = len(self._spent_ns)
        if before >= self.restarts:
            return None
        self._spent_ns.append(now_ns)
        # 2**before is bounded first: 10,000 restarts are a legal budget.
        doubled = limits.RESTART_PAUSE_MIN_MS << min(before, 16)
        return min(doubled, limits.RESTART_PAUSE_MAX_MS) / 1000

    @property
    def spent(self) -> int:
        """Restarts that counted at the last `spend`."""
        return len(self._spent_ns)
