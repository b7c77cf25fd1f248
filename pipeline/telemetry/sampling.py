"""Keeps one call in so many, such that counts stay right.

Calls of an event are cut into strata of ⌊1/rate⌋ or one more, in the proportion that makes their mean
1/rate; of each stratum one call, at a random place, is kept and stands for all of it. So a regular pattern
of fast and slow calls cannot hide, and the count is off by less than one stratum.

The ring carries the weight in RATE entries, written when it changes and every REPEAT_ENTRIES after, and
a flag on entries that stand for one more.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline import limits
from pipeline.telemetry.layout import FLAG_ONE_MORE, KIND_SHIFT, Kind
from pipeline.telemetry.writer import Put

REPEAT_ENTRIES = 1024
RATE_BITS = Kind.RATE << KIND_SHIFT


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
        "_announced",
        "_base",
        "_debt",
        "_longer_share",
        "_put",
        "_randrange",
        "_rate",
        "_rate_now",
        "_since",
        "_strata",
    )

    def __init__(
        self,
        put: Put,
        rate_now: Callable[[], float],
        randrange: Callable[[int], int] | None = None,
    ) -> None:
        self._put = put
        self._rate_now = rate_now
        self._randrange = randrange or _randrange
        self._strata: dict[int, tuple[int, int, int]] = {}
        """what → (calls left in the stratum, the one to keep counted likewise, size)."""
        self._rate = 1.0
        self._base = 1
        self._longer_share = 0.0
        self._debt = 0.5
        self._announced = 1
        self._since = 0

    def __call__(self, end_ns: int, value: int, what: int) -> bool:
        rate = self._rate_now()
        if rate != self._rate:
            self._change(rate)
        if rate <= 0:
            return False
        if rate >= 1:
            return self._announce(end_ns) and self._put(end_ns, value, what)
        left, kept_at, size = self._strata.get(what) or self._stratum()
        if left == 1:
            self._strata.pop(what, None)
        else:
            self._strata[what] = (left - 1, kept_at, size)
        if left != kept_at or not self._announce(end_ns):
            return False
        self._since += 1
        return self._put(end_ns, value, what | FLAG_ONE_MORE if size > self._base else what)

    def _change(self, rate: float) -> None:
        self._rate = rate
        self._strata.clear()
        if rate > 0:
            self._base = int(1 / rate)
            self._longer_share = 1 / rate - self._base

    def _stratum(self) -> tuple[int, int, int]:
        size = self._base
        self._debt += self._longer_share
        if self._debt >= 1:
            self._debt -= 1
            size += 1
        return size, size - self._randrange(size), size

    def _announce(self, end_ns: int) -> bool:
        """Write the weight in force if the reader may not know it; False when there was no room."""
        if self._announced == self._base and (self._base == 1 or self._since < REPEAT_ENTRIES):
            return True
        if not self._put(end_ns, self._base, RATE_BITS):
            return False
        self._announced, self._since = self._base, 0
        return True
