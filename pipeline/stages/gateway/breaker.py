"""Takes no events for a while when the journal fails or crawls, instead of letting everybody wait. Pure.

closed ──── too many of the window's commits failed or were slow ────▶ open (refused: 503)
  ▲                                                                     │ open_ns later
  └── `probes` events committed well ── half-open (few events pass) ◀───┘
                                           └── one failed or slow ──▶ open
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import NamedTuple

_SLOTS = 10
"""The window moves on in tenths: constant space, however often the journal commits."""


class Circuit(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Trip(NamedTuple):
    """When to open, and how to close again. Times in nanoseconds."""

    window_ns: int
    least_commits: int
    """Fewer in the window prove nothing."""
    slow_ns: int
    """A commit that takes longer counts as slow."""
    bad_percent: int
    """Of the window's commits, failed or slow, at which it opens."""
    open_ns: int
    probes: int
    """Events that pass while half-open; as many must have committed well to close."""


class Breaker:
    """Feed it every commit; ask before every event. Times never fall."""

    __slots__ = ("_bad", "_begun", "_good", "_probing_since_ns", "_reopen_ns", "_slots", "_total", "_trip",
                 "opened", "state")  # fmt: skip

    def __init__(self, trip: Trip) -> None:
        self._trip = trip
        self._slots: deque[list[int]] = deque()
        """Of each tenth of the window with commits: its number, commits, bad ones."""
        self._total = self._bad = 0
        self._begun = self._good = 0
        self._reopen_ns = self._probing_since_ns = 0
        self.state = Circuit.CLOSED
        self.opened = 0
        """How often it opened."""

    def refusal(self, now_ns: int) -> int:
        """0 when an event may pass, else nanoseconds to wait. Call `begun` for each that does."""
        if self.state is Circuit.CLOSED:
            return 0
        if self.state is Circuit.OPEN:
            if now_ns < self._reopen_ns:
                return self._reopen_ns - now_ns
            self._probe(now_ns)
        if self._begun < self._trip.probes:
            return 0
        wait_ns = self._probing_since_ns + self._trip.open_ns - now_ns
        if wait_ns > 0:
            return wait_ns
        self._probe(now_ns)  # the probes told nothing: their commit was one begun before them
        return 0

    def begun(self, events: int = 1) -> None:
        """Events were let through and wait for their commit."""
        self._begun += events

    def committed(self, now_ns: int, latency_ns: int, events: int = 1) -> None:
        """One commit of `events` succeeded; `latency_ns` is what the one that waited longest has waited."""
        self._count(now_ns, latency_ns, events, latency_ns > self._trip.slow_ns)

    def failed(self, now_ns: int, latency_ns: int = 0) -> None:
        """One commit failed."""
        self._count(now_ns, latency_ns, 0, True)

    def _count(self, now_ns: int, latency_ns: int, events: int, bad: bool) -> None:
        if self.state is Circuit.OPEN:
            return  # what was under way when it opened proves nothing new
        if self.state is Circuit.HALF_OPEN:
            if now_ns - latency_ns < self._probing_since_ns:
                return  # begun before it opened
            if bad:
                self._open(now_ns)
                return
            self._good += events
            if self._good >= self._trip.probes:
                self.state = Circuit.CLOSED
            return
        self._add(now_ns, bad)
        enough = self._total >= self._trip.least_commits
        if enough and bad and 100 * self._bad >= self._trip.bad_percent * self._total:
            self._open(now_ns)

    def _add(self, now_ns: int, bad: bool) -> None:
        number = now_ns * _SLOTS // self._trip.window_ns
        slots = self._slots
        if not slots or slots[-1][0] != number:
            slots.append([number, 0, 0])
            while slots[0][0] <= number - _SLOTS:
                _, total, was_bad = slots.popleft()
                self._total -= total
                self._bad -= was_bad
        slots[-1][1] += 1
        slots[-1][2] += bad
        self._total += 1
        self._bad += bad

    def _probe(self, now_ns: int) -> None:
        self.state = Circuit.HALF_OPEN
        self._begun = self._good = 0
        self._probing_since_ns = now_ns

    def _open(self, now_ns: int) -> None:
        self.state = Circuit.OPEN
        self.opened += 1
        self._reopen_ns = now_ns + self._trip.open_ns
        self._slots.clear()
        self._total = self._bad = 0
