"""How often a source may post: the generic cell rate algorithm, exact and in constant space. Pure.

Written `T = period / limit`, with `tat` the time at which everything taken so far would have arrived at an
even pace:

    tat'        = max(now, tat) + cost · T
    allow_at    = tat' − burst · T          allowed when now ≥ allow_at, and only then is tat' kept
    remaining   = ⌊(now − allow_at) / T⌋
    retry_after = allow_at − now
    reset_after = tat' − now

Source: ATM Forum, Traffic Management Specification 4.0, section 4.4.2 (virtual scheduling). Times are kept
multiplied by `limit`, so that T is a whole number and nothing is ever rounded.
"""

from __future__ import annotations

from typing import NamedTuple


class Allowance(NamedTuple):
    """What one request was told. `reset_after_ns`: when the whole burst is there again."""

    allowed: bool
    remaining: int
    retry_after_ns: int
    reset_after_ns: int


class Gcra:
    """`limit` events in any `period_ns` on average, at most `burst` of them at once."""

    __slots__ = ("_limit", "_step", "_tat", "_tolerance", "burst")

    def __init__(self, limit: int, period_ns: int, burst: int) -> None:
        if limit < 1 or period_ns < 1 or burst < 1:
            raise ValueError(f"limit {limit}, period {period_ns} ns, burst {burst}: all must be positive")
        self._limit = limit
        self._step = period_ns
        self._tolerance = burst * period_ns
        self._tat = 0
        self.burst = burst

    def take(self, now_ns: int, cost: int = 1) -> Allowance:
        """Takes `cost` events or none. Now may not fall; a cost above `burst` is never allowed."""
        now = now_ns * self._limit
        before = max(now, self._tat)
        after = before + cost * self._step
        early = after - self._tolerance - now
        if early > 0:
            remaining = max(0, (self._tolerance - (before - now)) // self._step)
            return Allowance(False, remaining, self._ns(early), self._ns(before - now))
        self._tat = after
        return Allowance(True, -early // self._step, 0, self._ns(after - now))

    def _ns(self, scaled: int) -> int:
        """Rounded up: who waits this long has waited long enough."""
        return -(-scaled // self._limit)
