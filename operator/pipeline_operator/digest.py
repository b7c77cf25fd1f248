"""What one snapshot says of each stage, checked and taken out of it once, however many ticks look at it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.snapshot import Counts, Latency, Replica, Snapshot, Stage
from pipeline.telemetry.sketch import Packed, Sketch, SketchError
from pipeline_operator import limits
from pipeline_operator.observation import WINDOWS_MS
from pipeline_operator.plausible import Doubts, count_within, lag_within, milliseconds_within
from pipeline_operator.spec import StageSpec


class Buckets(NamedTuple):
    """An event's latencies over one window, as one pod has them."""

    event: str
    window_ms: int
    packed: Packed | None
    lost: int


@dataclass(frozen=True, slots=True, eq=False)
class Word:
    """What one pod says of one stage. Two are the same only when they are one object."""

    lag_ms: int | None
    """The worst that it tells."""
    depth: int
    cpus_per_mille: tuple[int, ...]
    """Of its own workers of this stage."""
    workers: frozenset[str]
    counts: tuple[tuple[int, int, int, int], ...]
    """Handled, throttled, shed and ms blocked, for each of WINDOWS_MS."""
    buckets: tuple[Buckets, ...]
    events: frozenset[str]
    """All whose latencies it has, where the stage has an SLA of any."""


@dataclass(frozen=True, slots=True)
class Digest:
    """One pod's snapshot: a word for each stage that it speaks of, and what of it cannot be."""

    words: dict[str, Word]
    doubts: Doubts


def digest_of(snapshot: Snapshot, pod: str, own_stage: str, stages: Sequence[StageSpec]) -> Digest:
    """`own_stage` is the pod's. Of other stages than `stages` nothing is read, and so nothing doubted."""
    doubts = Doubts(pod)
    replicas: dict[str, list[Replica]] = {}
    for replica in snapshot.replicas:
        replicas.setdefault(replica.stage, []).append(replica)
    words = {}
    for stage in stages:
        told = [one for one in snapshot.stages if one.stage == stage.name]
        if told or stage.name in replicas:
            own = stage.name == own_stage
            words[stage.name] = _word(stage, replicas.get(stage.name, []), told, own, doubts)
    return Digest(words, doubts)


def _word(
    stage: StageSpec, replicas: Sequence[Replica], told: Sequence[Stage], own: bool, doubts: Doubts
) -> Word:
    lags_ms: list[int] = []
    cpus: list[int] = []
    for replica in replicas:
        _add_replica(replica, own, lags_ms, cpus, doubts)
    sums = {window_ms: [0, 0, 0, 0] for window_ms in WINDOWS_MS}
    depth = 0
    for one in told:
        depth += count_within(one.depth, 60_000, "depth", doubts)
        _add_counts(one.counts, sums, doubts)
    events = {sla.event for sla in stage.slas.latency}
    latencies = [latency for one in told for latency in one.latencies if latency.event in events]
    return Word(
        lag_ms=max(lags_ms, default=None),
        depth=depth,
        cpus_per_mille=tuple(cpus),
        workers=frozenset(replica.name for replica in replicas),
        counts=tuple((row[0], row[1], row[2], row[3]) for row in sums.values()),
        buckets=tuple(_buckets(latencies, doubts)),
        events=frozenset(latency.event for one in told for latency in one.latencies if events),
    )


def _add_replica(replica: Replica, own: bool, lags: list[int], cpus: list[int], doubts: Doubts) -> None:
    if replica.lag_ms is not None and (lag_ms := lag_within(replica.lag_ms, doubts)) is not None:
        lags.append(lag_ms)
    if own and replica.cpu_percent is not None:
        cpu = milliseconds_within(replica.cpu_percent * 10, 1_000_000, "cpu_percent", doubts)
        if cpu is not None:
            cpus.append(cpu)


def _add_counts(told: Iterable[Counts], sums: dict[int, list[int]], doubts: Doubts) -> None:
    for counts in told:
        window_ms = milliseconds_within(counts.window_s * 1000, 86_400_000, "window_s", doubts)
        row = sums.get(window_ms) if window_ms is not None else None
        if row is None or window_ms is None:
            continue  # a window that nobody here asks about
        row[0] += count_within(counts.handled, window_ms, "handled", doubts)
        row[1] += count_within(counts.flow_throttled, window_ms, "flow_throttled", doubts)
        row[2] += count_within(counts.shed, window_ms, "shed", doubts)
        most = window_ms * limits.MAX_WORKERS_A_POD
        row[3] += milliseconds_within(counts.blocked_ms, most, "blocked_ms", doubts) or 0


def _buckets(latencies: Iterable[Latency], doubts: Doubts) -> Iterator[Buckets]:
    for told in latencies:
        window_ms = round(told.window_s * 1000) if 0 < told.window_s < 1e6 else 0
        if window_ms not in WINDOWS_MS:
            continue
        packed = _packed(told, doubts)
        lost = told.lost
        if not 0 <= lost <= limits.MAX_RATE_A_SECOND * window_ms:
            doubts.note("lost", lost, "at least 0")
            lost = 0
        yield Buckets(told.event, window_ms, packed, lost)


def _packed(told: Latency, doubts: Doubts) -> Packed | None:
    if told.sketch is None:
        if told.count:
            doubts.note(f"{told.event} without its buckets: count", told.count, "0")
        return None
    try:
        return Sketch.unpack(told.sketch)
    except SketchError as error:
        doubts.note(f"{told.event}: sketch", error, "a sketch of this version")
        return None
