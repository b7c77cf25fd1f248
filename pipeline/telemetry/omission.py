"""Correction of coordinated omission, as HdrHistogram does it, on a sketch.

Who sends the next request only after the last one was answered does not send during a stall, and so does
not measure the calls that would have waited. If calls were meant to come every `interval`, one that took v
stands for more that would have taken v − interval, v − 2 · interval, … down to interval.

How exact that is. A sketch knows v within RELATIVE_ERROR (the greatest value exactly), and what is added
shares the error of v itself, in ns: it is small beside v, but not beside the shortest that are added, and
there may be one of these more or less. So the upper percentiles of the result are as exact as others, and the
lower ones are off by at most RELATIVE_ERROR of the longest stall that they come from.
"""

from __future__ import annotations

import numpy as np

from pipeline.telemetry.sketch import ANSWERS, BUCKETS, EDGES, Sketch, bucket_of

MAX_ADDED = 1 << 40
"""Calls added at most: more means an interval in the wrong unit."""


def corrected(sketch: Sketch, interval_ns: int) -> Sketch:
    """A copy with the calls that were left out. The longest call is taken as it was, each other one at the
    answer of its bucket.

    Raises ValueError when the interval is no positive integer, or so small that the added calls cannot be
    counted.
    """
    if not isinstance(interval_ns, int) or interval_ns <= 0:
        raise ValueError(f"expected_interval_ns = {interval_ns}: a whole number of ns, 1 at least")
    result = Sketch()
    result.merge(sketch)
    stalls = [(value, count) for value, count in _calls_of(sketch) if count and value >= 2 * interval_ns]
    if sum((value // interval_ns - 1) * count for value, count in stalls) > MAX_ADDED:
        raise ValueError(f"expected interval {interval_ns} ns: adds more than {MAX_ADDED} calls")
    edges = np.append(EDGES, np.iinfo(np.int64).max)[: BUCKETS + 1]
    for value, count in stalls:
        added = value // interval_ns - 1
        # How many of value − k · interval, k = 1 … added, are at or above each edge.
        above = np.clip((value - edges) // interval_ns, 0, added)
        in_bucket = above[:-1] - above[1:]
        in_bucket[0] += added - int(above[0])
        result.counts += in_bucket * count
        result.count += added * count
        result.total += count * (added * value - interval_ns * (added * (added + 1) // 2))
        result.minimum = min(result.minimum, value - added * interval_ns)
    return result


def _calls_of(sketch: Sketch) -> list[tuple[int, int]]:
    """(value, how many calls) of each bucket in use, the longest call by itself."""
    used = np.flatnonzero(sketch.counts)
    found = dict(zip(used.tolist(), sketch.counts[used].tolist(), strict=True))
    calls = {int(ANSWERS[bucket]): count for bucket, count in found.items()}
    longest = int(bucket_of(np.array([sketch.maximum]))[0])
    if longest not in found:
        return list(calls.items())
    calls[int(ANSWERS[longest])] -= 1
    return [*calls.items(), (sketch.maximum, 1)]
