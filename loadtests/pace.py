"""When requests are to be sent: intended times at an even pace, whatever became of those before. Pure."""

from __future__ import annotations

from pipeline.clock import NS_PER_S


class Pace:
    """The intended times of one sender, monotonic ns.

    Nothing is ever skipped: who is late sends at once, and the wait is part of that request's latency. So
    a pause of the server shows in every request that fell into it (coordinated omission is not).
    """

    __slots__ = ("_interval_ns", "_next_ns")

    def __init__(self, per_s: float, start_ns: int, phase: float) -> None:
        """`phase` (0 to 1) of an interval until the first: senders that start together spread."""
        self._interval_ns = NS_PER_S / per_s
        self._next_ns = start_ns + phase * self._interval_ns

    def wait_s(self, now_ns: int) -> float:
        """Until the next is due; 0 when it is."""
        return max(0.0, (self._next_ns - now_ns) / NS_PER_S)

    def take(self) -> int:
        """The next intended time; the one after it is next then."""
        due_ns = self._next_ns
        self._next_ns += self._interval_ns
        return int(due_ns)
