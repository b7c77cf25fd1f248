"""What the client has seen so far, and the result made of it."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.replay.spec import Progress, Result, Times


class Tally:
    """Counts of one client; latencies are all kept (8 bytes each), so percentiles are exact."""

    __slots__ = (
        "accepted",
        "first_sent_ns",
        "last_accepted_ns",
        "latencies_ns",
        "repeated",
        "retries",
        "total",
    )

    def __init__(self, keys: Iterable[str]) -> None:
        self.accepted: dict[str, int] = dict.fromkeys(keys, 0)
        self.total = 0
        self.repeated = 0
        self.retries: Counter[str] = Counter()
        self.latencies_ns = array("q")
        self.first_sent_ns = 0
        self.last_accepted_ns = 0

    def accept(self, key: str, due_ns: int, now_ns: int) -> None:
        self.accepted[key] += 1
        self.total += 1
        self.latencies_ns.append(now_ns - due_ns)
        self.last_accepted_ns = now_ns

    def progress(self, now_ns: int, planned: int | None) -> Progress:
        return Progress(
            elapsed_s=(now_ns - self.first_sent_ns) / NS_PER_S if self.first_sent_ns else 0.0,
            planned=planned,
            accepted=self.total,
            repeated=self.repeated,
            retried=self.retries.total(),
        )

    def result(self, *, cpu_s: float, unconfirmed: int, stopped: bool, fault: str) -> Result:
        return Result(
            accepted=self.accepted,
            unconfirmed=unconfirmed,
            repeated=self.repeated,
            retries=dict(sorted(self.retries.items())),
            elapsed_s=max(0, self.last_accepted_ns - self.first_sent_ns) / NS_PER_S,
            cpu_s=cpu_s,
            first_sent_ns=self.first_sent_ns,
            last_accepted_ns=self.last_accepted_ns,
            times=times(self.latencies_ns),
            stopped=stopped,
            fault=fault,
        )


def times(latencies_ns: Iterable[int]) -> Times:
    """Exact percentiles (nearest rank)."""
    ordered = sorted(latencies_ns)
    if not ordered:
        return Times()
    return Times(
        count=len(ordered),
        p50_ms=percentile(ordered, 50) / NS_PER_MS,
        p95_ms=percentile(ordered, 95) / NS_PER_MS,
        p99_ms=percentile(ordered, 99) / NS_PER_MS,
        max_ms=ordered[-1] / NS_PER_MS,
    )


def percentile(ordered: list[int], percent: float) -> int:
    """Nearest rank: the smallest value that at least `percent` of them do not exceed."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]
