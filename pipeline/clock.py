"""Time, injected: everything that needs a clock takes one of these and never calls `time` itself."""

from __future__ import annotations

import time
from typing import Protocol

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
US_PER_MS = 1_000
US_PER_S = 1_000_000


class Clock(Protocol):
    """A source of time."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start, never falling; for intervals and timers."""

    def wall_us(self) -> int:
        """Microseconds since the Unix epoch (UTC); may step. For what is stored and shown."""


class SystemClock:
    """The machine's clocks. CLOCK_MONOTONIC is shared by all processes of one machine."""

    __slots__ = ()

    monotonic_ns = staticmethod(time.monotonic_ns)

    def wall_us(self) -> int:
        return time.time_ns() // NS_PER_US


def no_time() -> int:
    """For what is only told to people, where nobody asks: 0, which is no time."""
    return 0


class FakeClock:
    """A clock that moves only when told to. Public, for users' tests as well as ours."""

    __slots__ = ("_monotonic_ns", "_wall_us")

    def __init__(self, monotonic_ns: int = 1_000_000_000, wall_us: int = 1_700_000_000_000_000) -> None:
        self._monotonic_ns = monotonic_ns
        self._wall_us = wall_us

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def wall_us(self) -> int:
        return self._wall_us

    def advance(self, *, ns: int = 0, ms: float = 0, s: float = 0) -> None:
        """Move both clocks forward by the sum of the arguments."""
        step_ns = ns + int(ms * NS_PER_MS) + int(s * NS_PER_S)
        if step_ns < 0:
            raise ValueError(f"a clock moves forward only: {step_ns} ns")
        self._monotonic_ns += step_ns
        self._wall_us += step_ns // NS_PER_US

    def step_wall(self, us: int) -> None:
        """Step the wall clock alone, as an administrator or NTP would."""
        self._wall_us += us
