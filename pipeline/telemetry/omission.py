"""Correction of coordinated omission, as HdrHistogram does it, on a sketch.

Who sends the next request only after the last one was answered does not send during a stall, and so does
not measure the calls that would have waited. If calls were meant to come every `interval`, one that took v
stands for more that would have taken v − interval, v − 2 · interval, … down to interval.
"""

from __future__ import annotations

import numpy as np

from pipeline.telemetry.sketch import ANSWERS, BUCKETS, EDGES, Sketch

MAX_ADDED = 1 << 40
"""Calls added at most: more means an interval in the wrong unit."""


def corrected(sketch: Sketch, interval_ns: int) -> Sketch:
    """A copy with the calls that were left out. Each bucket's calls are taken at its answer, so the added
    ones are as exact as percentiles are.

    Raises ValueError when the interval is not positive, or so small that the added calls cannot be counted.
    """
    if interval_ns <= 0:
        raise ValueError(f"expected interval {interval_ns} ns: must be positive")
    result = Sketch()
    result.merge(sketch)
    used = np.flatnonzero(sketch.counts)
    used = used[ANSWERS[used] >= 2 * interval_ns]
    missing = ANSWERS[used] // interval_ns - 1
    if int((missing * sketch.counts[used]).sum()) > MAX_ADDED:
        raise ValueError(f"expected interval {interval_ns} ns: adds more than {MAX_ADDED} calls")
    for bucket, added in zip(used.tolist(), missing.tolist(), strict=True):
        value, count = int(ANSWERS[bucket]), int(sketch.counts[bucket])
        # How many of value − k · interval, k = 1 … added, are at or above each edge.
        edges = np.append(EDGES, np.iinfo(np.int64).max)[: BUCKETS + 1]
        above = np.clip((value - edges) // interval_ns, 0, added)
        in_bucket = above[:-1] - above[1:]
        in_bucket[0] += added - int(above[0])
        result.counts += in_bucket * count
        result.count += added * count
        result.total += count * (added * value - interval_ns * (added * (added + 1) // 2))
    if result.count > sketch.count:
        result.minimum = min(result.minimum, interval_ns)
    return result
