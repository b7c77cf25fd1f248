"""Merges what the pods' collectors answered into the signals of each stage.

A pod's collector speaks of its own workers (handled, blocked, latencies) and, as the sender, of the workers
that its own ones send to (lag, flow throttling). So a stage's lag is the worst that any pod tells, its counts
are the sum over all pods, and its percentiles come from the merged buckets, never from percentiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct, structs

from pipeline.snapshot import SCHEMA_VERSION, Counts, Replica, Snapshot
from pipeline_operator import limits
from pipeline_operator.merge_latency import merge_latency
from pipeline_operator.observation import WINDOWS_MS, Sources, StageSignals, WindowCounts
from pipeline_operator.plausible import Doubts, count_within, lag_within, milliseconds_within
from pipeline_operator.spec import StageSpec


class Answer(Struct, frozen=True, kw_only=True):
    """What one pod's collector said last.

    `age_ms` is on our own clock: since its `taken_us` was last seen to change, so that a collector which
    repeats itself grows old. `snapshot` is None when it never answered or what it said was no snapshot;
    `fault` says why.
    """

    pod: str
    stage: str
    age_ms: int
    snapshot: Snapshot | None = None
    fault: str = ""


def merge(
    stages: Iterable[StageSpec],
    expected: Mapping[str, Iterable[str]],
    answers: Iterable[Answer],
    *,
    stale_after_ms: int,
    now_us: int,
) -> dict[str, StageSignals]:
    """The signals of every stage by name.

    `expected` names, for each stage, the pods that should answer: ready ones, without those that became
    ready a moment ago and cannot have answered yet, or every raise would end in stale signals. Others are
    heard too. An answer older than `stale_after_ms`, impossible, or of another schema counts as none, and
    is named in `Sources.ignored`.
    """
    listed = sorted(answers, key=lambda answer: answer.pod)
    pairs = [
        (answer, answer.snapshot)
        for answer in listed
        if answer.snapshot is not None and not _refused(answer, stale_after_ms)
    ]
    doubts = {answer.pod: Doubts(answer.pod) for answer, _ in pairs}
    # All figures first: what a pod says of its downstream casts doubt on its own stage's word too.
    merged = {stage.name: _figures(stage, pairs, doubts) for stage in stages}
    return {
        stage: structs.replace(
            signals,
            sources=_sources(stage, expected.get(stage, ()), listed, doubts, stale_after_ms, now_us),
        )
        for stage, signals in merged.items()
    }


def _refused(answer: Answer, stale_after_ms: int) -> str:
    """Why an answer counts as none; empty when it counts."""
    if answer.snapshot is None:
        return answer.fault or "no answer"
    if answer.snapshot.schema != SCHEMA_VERSION:
        return f"snapshot of schema {answer.snapshot.schema}, expected {SCHEMA_VERSION}"
    if answer.age_ms < 0 or answer.age_ms > stale_after_ms:
        return f"{answer.age_ms} ms old, at most {stale_after_ms}"
    if len(answer.snapshot.replicas) > limits.MAX_REPLICAS_A_SNAPSHOT:
        return f"speaks of {len(answer.snapshot.replicas)} workers, at most {limits.MAX_REPLICAS_A_SNAPSHOT}"
    return ""


def _figures(
    stage: StageSpec, pairs: list[tuple[Answer, Snapshot]], doubts: Mapping[str, Doubts]
) -> StageSignals:
    lags: list[int] = []
    depth = 0
    cpus: list[int] = []
    workers: set[str] = set()
    sums = {window_ms: [0, 0, 0, 0] for window_ms in WINDOWS_MS}
    for answer, snapshot in pairs:
        doubt = doubts[answer.pod]
        for replica in snapshot.replicas:
            if replica.stage != stage.name:
                continue
            workers.add(replica.name)
            _add_replica(replica, answer.stage == stage.name, lags, cpus, doubt)
        for told in snapshot.stages:
            if told.stage == stage.name:
                depth += count_within(told.depth, 60_000, "depth", doubt)
                _add_counts(told.counts, sums, doubt)
    return StageSignals(
        lag_ms=max(lags) if lags else None,
        depth=depth,
        workers=len(workers),
        cpu_per_mille=sum(cpus) // len(cpus) if cpus else None,
        windows=tuple(
            WindowCounts(
                window_ms=window_ms, handled=row[0], flow_throttled=row[1], shed=row[2], blocked_ms=row[3]
            )
            for window_ms, row in sums.items()
        ),
        latencies=merge_latency(stage, [(snapshot, doubts[answer.pod]) for answer, snapshot in pairs]),
    )


def _add_replica(replica: Replica, own: bool, lags: list[int], cpus: list[int], doubt: Doubts) -> None:
    if replica.lag_ms is not None and (lag_ms := lag_within(replica.lag_ms, doubt)) is not None:
        lags.append(lag_ms)
    if own and replica.cpu_percent is not None:
        cpu = milliseconds_within(replica.cpu_percent * 10, 1_000_000, "cpu_percent", doubt)
        if cpu is not None:
            cpus.append(cpu)


def _add_counts(told: Iterable[Counts], sums: dict[int, list[int]], doubt: Doubts) -> None:
    for counts in told:
        window_ms = milliseconds_within(counts.window_s * 1000, 86_400_000, "window_s", doubt)
        row = sums.get(window_ms) if window_ms is not None else None
        if row is None or window_ms is None:
            continue  # a window that nobody here asks about
        row[0] += count_within(counts.handled, window_ms, "handled", doubt)
        row[1] += count_within(counts.flow_throttled, window_ms, "flow_throttled", doubt)
        row[2] += count_within(counts.shed, window_ms, "shed", doubt)
        most = window_ms * limits.MAX_WORKERS_A_POD
        row[3] += milliseconds_within(counts.blocked_ms, most, "blocked_ms", doubt) or 0


def _sources(
    stage: str,
    expected: Iterable[str],
    answers: list[Answer],
    doubts: Mapping[str, Doubts],
    stale_after_ms: int,
    now_us: int,
) -> Sources:
    """Who answered for this stage's own pods."""
    names = set(expected)
    own = [answer for answer in answers if answer.stage == stage]
    ignored = [f"{answer.pod}: {reason}" for answer in own if (reason := _refused(answer, stale_after_ms))]
    ignored += [f"{name}: no answer" for name in sorted(names - {answer.pod for answer in own})]
    used = [answer for answer in own if answer.pod in doubts]
    remarks = []
    for answer in used:
        ignored += doubts[answer.pod].texts()
        assert answer.snapshot is not None
        skew_ms = abs(answer.snapshot.taken_us - (now_us - answer.age_ms * 1000)) // 1000
        if skew_ms > limits.CLOCK_SKEW_MS:
            remarks.append(f"{answer.pod}: its wall clock is {skew_ms} ms off")
    # A pod whose word was doubted in any part has not answered: what it left out may be the worst of it.
    sound = {answer.pod for answer in used if not doubts[answer.pod].texts()}
    return Sources(
        expected=len(names),
        answered=len(names & sound),
        oldest_ms=max((answer.age_ms for answer in used), default=0),
        ignored=tuple(ignored),
        remarks=tuple(remarks),
    )
