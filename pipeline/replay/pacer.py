"""Moments of sending: as fast as asked, without ever leaving one out."""

from __future__ import annotations

from pipeline.clock import NS_PER_S


class Pacer:
    """Slots on a fixed grid, `1 / rate` apart, taken by whichever lane is free next.

    A late lane does not move the grid: its event's latency counts from its slot, so a stall shows in the
    percentiles of all that had to wait for it (no coordinated omission).
    """

    __slots__ = ("_rate", "_start_ns", "_taken")

    def __init__(self, rate: float | None, start_ns: int) -> None:
        self._rate = rate
        self._start_ns = start_ns
        self._taken = 0

    def slot_ns(self, now_ns: int) -> int:
        """When the next event is to be sent: now, without a rate; otherwise the next slot, past or future."""
        if self._rate is None:
            return now_ns
        slot = self._start_ns + int(self._taken * NS_PER_S / self._rate)
        self._taken += 1
        return slot
