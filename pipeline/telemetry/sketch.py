"""Percentiles in constant space: log-linear buckets, 128 to an octave, that merge and subtract exactly.

A bucket is the exponent and the first seven fraction bits of the value as a float64, so bucketing is a
shift. Bucket 0 holds zero, the last holds everything from 2^47 ns (39 hours). A percentile is the
nearest-rank one; it is answered with the harmonic mean of its bucket's ends, which is at most
0.39 % from any value in the bucket. Below 256 ns integers are exact.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

BUCKETS_AN_OCTAVE = 128
OCTAVES = 47
BUCKETS = 1 + OCTAVES * BUCKETS_AN_OCTAVE + 1
RELATIVE_ERROR = 0.0039
"""1/257, and what rounding to whole nanoseconds adds."""
MAX_VALUE = 1 << OCTAVES
"""From here on values share the last bucket; only min, max and mean still tell them apart."""

CACHED_VALUES = 1 << 15
"""Values taken at once: what is made of so many stays in a processor's own cache."""

_FRACTION_SHIFT = 52 - 7
_FIRST = int(np.float64(1).view(np.int64)) >> _FRACTION_SHIFT
_OFFSET = _FIRST - 1

PERCENTILES = (5000, 9500, 9900, 9990)
"""p50, p95, p99, p99.9 in hundredths of a percent, so that ranks are integer arithmetic."""


def bucket_of(values: Ints) -> Ints:
    """The bucket of each value (ns, ≥ 0)."""
    buckets = (values.astype(np.float64).view(np.int64) >> _FRACTION_SHIFT) - _OFFSET
    np.maximum(buckets, 0, out=buckets)  # not np.clip, which asks for its bounds' ranges each time
    np.minimum(buckets, BUCKETS - 1, out=buckets)
    return buckets


def _bucket_of_bounded(values: Ints, low: int, high: int) -> Ints:
    """The same for values from `low` to `high`."""
    if low < 1 or high >= MAX_VALUE:
        return bucket_of(values)
    buckets: Ints = values.astype(np.float64).view(np.int64)
    buckets >>= _FRACTION_SHIFT
    buckets -= _OFFSET
    return buckets


def _edges() -> Ints:
    """The smallest integer of each bucket; a bucket without one has its successor's."""
    steps = np.arange(OCTAVES * BUCKETS_AN_OCTAVE + 1)
    exponents, fractions = np.divmod(steps, BUCKETS_AN_OCTAVE)
    lower = np.ldexp(1 + fractions / BUCKETS_AN_OCTAVE, exponents)
    return np.concatenate(([0], np.ceil(lower))).astype(np.int64)


EDGES = _edges()
"""EDGES[k] is the first integer of bucket k."""


def _answers() -> Ints:
    first = EDGES[:-1].astype(np.float64)
    last = np.maximum(EDGES[1:] - 1, EDGES[:-1]).astype(np.float64)
    first[0] = last[0] = 1  # any but 0 / 0; overwritten below
    # Rounded down: then the error stays within the bound at the bucket's small end too.
    answers = np.floor(2 * first * last / (first + last)).astype(np.int64)
    answers[0] = 0
    return np.append(answers, MAX_VALUE)


ANSWERS = _answers()
"""What a percentile in each bucket is answered with."""


def quantiles(counts: Ints, percentiles: Sequence[int] = PERCENTILES) -> Ints | None:
    """The nearest-rank percentiles (hundredths of a percent) of a row of buckets; None when it is empty."""
    cumulated = counts.cumsum()
    return ranked(cumulated, percentiles) if cumulated[-1] > 0 else None


def ranked(cumulated: Ints, percentiles: Sequence[int] = PERCENTILES) -> Ints:
    """The same of a row that is not empty and was added up from its beginning."""
    count = int(cumulated[-1])
    ranks = [max(1, -(-count * percentile // 10_000)) for percentile in percentiles]
    return ANSWERS[np.searchsorted(cumulated, ranks)]


class SketchError(ValueError):
    """Bytes are not a sketch of ours, or a sketch has no such figure."""


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A sketch by the buckets in use, ascending, and their counts."""

    indices: Ints
    counts: Ints
    count: int
    total: int
    minimum: int
    maximum: int


class Sketch:
    """One distribution. `counts` may be read; `count`, `total`, `minimum` and `maximum` go with it.

    After `subtract`, `minimum` and `maximum` are the ends of the outermost buckets that are left.
    """

    __slots__ = ("count", "counts", "maximum", "minimum", "total")

    _HEADER = struct.Struct("<4sHHqqqq")
    _MAGIC = b"RLSK"
    _VERSION = 1

    def __init__(self) -> None:
        self.counts: Ints = np.zeros(BUCKETS, dtype=np.int64)
        self.count = 0
        self.total = 0
        self.minimum = 0
        self.maximum = 0

    def add(self, values: Ints | Iterable[int]) -> None:
        """Add values (ns). Raises ValueError when one is negative."""
        new = np.asarray(values if isinstance(values, np.ndarray) else list(values), dtype=np.int64)
        if not len(new):
            return
        low, high = int(new.min()), int(new.max())
        if low < 0:
            raise ValueError(f"a duration of {low} ns: must not be negative")
        for first in range(0, len(new), CACHED_VALUES):
            self.counts += np.bincount(
                _bucket_of_bounded(new[first : first + CACHED_VALUES], low, high), minlength=BUCKETS
            )
        self.minimum = min(self.minimum, low) if self.count else low
        self.maximum = max(self.maximum, high)
        self.count += len(new)
        if high * len(new) < 1 << 63:
            self.total += int(new.sum())
        else:  # in halves, neither of which overflows
            self.total += (int((new >> 32).sum()) << 32) + int((new & (1 << 32) - 1).sum())

    def merge(self, other: Sketch) -> None:
        """Add all that `other` holds; exact."""
        if not other.count:
            return
        self.minimum = min(self.minimum, other.minimum) if self.count else other.minimum
        self.maximum = max(self.maximum, other.maximum)
        self.counts += other.counts
        self.count += other.count
        self.total += other.total

    def subtract(self, other: Sketch) -> None:
        """Take away what was merged before. Raises ValueError when `other` was never in here."""
        left = self.counts - other.counts
        if (left < 0).any():
            raise ValueError("subtracting a sketch that was never merged")
        self.counts = left
        self.count -= other.count
        self.total -= other.total
        used = np.flatnonzero(left)
        if not len(used):
            self.minimum = self.maximum = 0
            return
        self.minimum = max(self.minimum, int(EDGES[used[0]]))
        if used[-1] < BUCKETS - 1:
            self.maximum = min(self.maximum, max(int(EDGES[used[-1] + 1]) - 1, self.minimum))

    def quantile(self, percent: float) -> int | None:
        """The nearest-rank percentile in ns, within RELATIVE_ERROR; None when empty.

        Raises SketchError unless it is one of 0, 0.01, 0.02, … 100.
        """
        if not 0 <= percent <= 100:
            raise SketchError(f"percentile {percent}: must lie between 0 and 100")
        hundredths = round(percent * 100)
        if not math.isclose(percent * 100, hundredths, abs_tol=1e-6):
            raise SketchError(f"percentile {percent}: two decimals at most, such as 99.99")
        found = quantiles(self.counts, (hundredths,))
        return None if found is None else self._within(int(found[0]))

    def quantiles(self, percentiles: Sequence[int] = PERCENTILES) -> list[int]:
        """Several at once, in hundredths of a percent; empty list when empty. Raises SketchError for one that
        is none of 0 … 10,000."""
        for one in percentiles:
            if not 0 <= one <= 10_000:
                raise SketchError(f"{one} hundredths of a percent: must lie between 0 and 10000")
        found = quantiles(self.counts, percentiles)
        return [] if found is None else [self._within(int(value)) for value in found]

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    def to_bytes(self) -> bytes:
        """A compact form: the buckets in use and their counts. A total beyond 63 bits is cut to them."""
        used = np.flatnonzero(self.counts)
        figures = (self.count, min(self.total, (1 << 63) - 1), self.minimum, self.maximum)
        header = self._HEADER.pack(self._MAGIC, self._VERSION, len(used), *figures)
        return header + used.astype("<u2").tobytes() + self.counts[used].astype("<i8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Sketch:
        """Raises SketchError when `data` was not made by `to_bytes` of this version."""
        sketch = cls()
        sketch.merge_packed(cls.unpack(data))
        return sketch

    @classmethod
    def unpack(cls, data: bytes) -> Packed:
        """Checked, and not spread over all buckets: to be merged, now or more than once. Raises SketchError
        as `from_bytes` does."""
        if len(data) < cls._HEADER.size:
            raise SketchError(f"sketch of {len(data)} bytes: at least {cls._HEADER.size}")
        magic, version, used, count, total, minimum, maximum = cls._HEADER.unpack_from(data)
        if magic != cls._MAGIC or version != cls._VERSION:
            raise SketchError(f"sketch with magic {magic!r}, version {version}: expected {cls._VERSION}")
        if len(data) != cls._HEADER.size + used * 10:
            raise SketchError(
                f"sketch of {len(data)} bytes: {used} buckets take {cls._HEADER.size + used * 10}"
            )
        indices = np.frombuffer(data, "<u2", used, cls._HEADER.size).astype(np.int64)
        counts = np.frombuffer(data, "<i8", used, cls._HEADER.size + 2 * used)
        ascending = bool((indices[1:] > indices[:-1]).all())
        if used and (not ascending or indices[-1] >= BUCKETS or counts.min() <= 0):
            raise SketchError("sketch with buckets out of order or out of range, or counts not positive")
        if int(counts.sum()) != count:
            raise SketchError(f"sketch of {count} values whose buckets hold {int(counts.sum())}")
        return Packed(indices, counts, count, total, minimum, maximum)

    def merge_packed(self, *others: Packed) -> None:
        """As `merge`, of many that are packed; touches the buckets in use only."""
        used = [other for other in others if other.count]
        if not used:
            return
        lowest = min(other.minimum for other in used)
        self.minimum = min(self.minimum, lowest) if self.count else lowest
        self.maximum = max(self.maximum, *(other.maximum for other in used))
        indices = np.concatenate([other.indices for other in used])
        np.add.at(self.counts, indices, np.concatenate([other.counts for other in used]))
        self.count += sum(other.count for other in used)
        self.total += sum(other.total for other in used)

    def _within(self, value: int) -> int:
        return min(max(value, self.minimum), self.maximum)
