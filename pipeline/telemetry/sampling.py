"""Keeps one call in so many, such that counts stay right.

Calls of an event are cut into strata of ⌊1/rate⌋ or one more, in the proportion that makes their mean
1/rate; of each stratum one call, at a random place, is kept and stands for all of it. So a regular pattern
of fast and slow calls cannot hide, and the count is off by less than one stratum.

Each entry that is kept says how many calls it stands for: a reader that begins in the middle, or has missed
some, needs to know nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline import limits
from pipeline.clock import NS_PER_S
from pipeline.telemetry.layout import EVENT_MASK, WEIGHT_SHIFT, WORD_MASK
from pipeline.telemetry.writer import Put

ADAPTIVE_FLOOR = 0.1
"""Adaptive sampling never keeps less than this share."""
ADAPTIVE_STEP = 1.25
"""The rate changes when it should differ by this factor, so that it does not tremble."""
TELL_CALLS = 256
TELL_EVERY_NS = NS_PER_S // 10
"""A sampler tells how many calls there were after so many, or so long."""
_MOST = (1 << 63) - 1
"""Times and durations are signed words."""


def adapted(rate: float, above_per_s: float, calls_per_s: float) -> float:
    """What follows `rate` so that about `above_per_s` of `calls_per_s` calls are kept."""
    wanted = max(ADAPTIVE_FLOOR, min(1.0, above_per_s / max(above_per_s, calls_per_s)))
    return rate if wanted != 1.0 and 1 / ADAPTIVE_STEP < wanted / rate < ADAPTIVE_STEP else wanted


class Load:
    """How many calls a second the threads of a process make, from what their samplers tell now and then, and
    the rate that follows from it."""

    __slots__ = ("_calls", "_since_ns", "above_per_s", "rate")

    def __init__(self, above_per_s: float | None = None) -> None:
        """None: the rate stays 1."""
        self.above_per_s = above_per_s
        self.rate = 1.0
        self._calls = 0
        self._since_ns = 0

    def tell(self, calls: int, at_ns: int) -> None:
        """So many calls were made until now. Above what a second may bring, fewer are kept at once; more
        again after a second that brought less. Threads may tell together: what some told is then missed."""
        if self.above_per_s is None:
            return
        self._calls += calls
        elapsed_ns = at_ns - self._since_ns
        if elapsed_ns >= NS_PER_S:
            self.rate = adapted(self.rate, self.above_per_s, self._calls * NS_PER_S / elapsed_ns)
            self._calls, self._since_ns = 0, at_ns
        elif self._calls > self.above_per_s:
            self.rate = min(self.rate, adapted(self.rate, self.above_per_s, self._calls))


def check_rate(rate: float) -> float:
    """Raises ValueError unless `rate` is 0, or from 1 / MAX_SAMPLING_WEIGHT to 1."""
    least = 1 / (limits.MAX_SAMPLING_WEIGHT - 1)
    if rate != 0 and not least <= rate <= 1:
        raise ValueError(f"sampling rate {rate}: 0, or {least:.5f} to 1")
    return rate


def _randrange(stop: int) -> int:
    from random import randrange  # loaded by the first who samples

    return randrange(stop)  # noqa: S311 - a sample is no secret


class Sampler:
    """A put of DURATIONs that keeps as many as `rate_now()` says; one thread, as the put below it."""

    __slots__ = (
        "_announce",
        "_base",
        "_calls",
        "_debt",
        "_due_ns",
        "_longer_share",
        "_put",
        "_randrange",
        "_rate",
        "_rate_now",
        "_strata",
        "_tell",
    )

    def __init__(
        self,
        put: Put,
        rate_now: Callable[[], float],
        randrange: Callable[[int], int] | None = None,
        announce: Callable[[int], None] | None = None,
        tell: Callable[[int, int], None] | None = None,
    ) -> None:
        """`announce` is told how many calls an entry may stand for, before there is one; `tell` now and then
        how many calls there were since it was told, and the time."""
        self._tell = tell
        self._calls = 0
        self._due_ns = 0
        self._announce = announce
        self._put = put
        self._rate_now = rate_now
        self._randrange = randrange or _randrange
        self._strata: dict[int, tuple[int, int, int]] = {}
        """event → (calls left in the stratum, the one to keep counted likewise, size)."""
        self._rate = 1.0
        self._base = 1
        self._longer_share = 0.0
        self._debt = 0.5

    def __call__(self, end_ns: int, value: int, what: int) -> bool:
        self._calls += 1
        if self._tell is not None and (self._calls >= TELL_CALLS or self._due_ns <= end_ns <= _MOST):
            self._tell(self._calls, end_ns)
            self._calls, self._due_ns = 0, end_ns + TELL_EVERY_NS
        rate = self._rate_now()
        if rate != self._rate:
            self._change(rate)
        if rate <= 0:
            return False
        if rate >= 1:
            return self._put(end_ns, value, what)
        try:
            if not (end_ns <= _MOST and -_MOST <= value <= _MOST and what <= WORD_MASK):
                # cannot be written: counted, each
                return self._put(end_ns, value, what)
            return self._sample(end_ns, value, what)
        except TypeError:  # not an event
            return self._put(WORD_MASK + 1, 0, 0)

    def _sample(self, end_ns: int, value: int, what: int) -> bool:
        event_id = what & EVENT_MASK  # whatever it is tied to: there is a correlation a request
        left, kept_at, size = self._strata.get(event_id) or self._stratum()
        if left == 1:
            self._strata.pop(event_id, None)
        else:
            self._strata[event_id] = (left - 1, kept_at, size)
        return left == kept_at and self._put(end_ns, value, what | size - 1 << WEIGHT_SHIFT)

    def _change(self, rate: float) -> None:
        self._rate = rate
        self._strata.clear()
        if rate > 0:
            self._base = int(1 / rate)
            self._longer_share = 1 / rate - self._base
            if self._announce is not None:
                self._announce(self._base + (self._longer_share > 0))

    def _stratum(self) -> tuple[int, int, int]:
        size = self._base
        self._debt += self._longer_share
        if self._debt >= 1:
            self._debt -= 1
            size += 1
        return size, size - self._randrange(size), size
