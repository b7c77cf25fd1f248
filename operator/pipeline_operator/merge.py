"""Merges what the pods' collectors answered into the signals of each stage.

A pod's collector speaks of its own workers (handled, blocked, latencies) and, as the sender, of the workers
that its own ones send to (lag, flow throttling). So a stage's lag is the worst that any pod tells, its counts
are the sum over all pods, and its percentiles come from the merged buckets, never from percentiles.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct, structs

from pipeline.snapshot import SCHEMA_VERSION, Snapshot
from pipeline_operator import limits
from pipeline_operator.digest import Digest, Word, digest_of
from pipeline_operator.merge_latency import merge_latency
from pipeline_operator.observation import WINDOWS_MS, Sources, StageSignals, WindowCounts
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


class Digests:
    """Of the last snapshot of each pod, and the figures of each stage made of them: what has not changed
    since the last time is not read again. For one Pipeline.
    """

    def __init__(self) -> None:
        self._stages: tuple[StageSpec, ...] = ()
        self._kept: dict[str, tuple[Snapshot, str, Digest]] = {}
        self._figures: dict[str, tuple[tuple[Word, ...], StageSignals]] = {}

    def of(self, answers: Collection[Answer], stages: tuple[StageSpec, ...]) -> dict[str, Digest]:
        """By pod, of all these answers and no others; each has a snapshot."""
        if stages != self._stages:
            self._stages, self._kept, self._figures = stages, {}, {}
        for answer in answers:
            assert answer.snapshot is not None
            self.read(answer.pod, answer.stage, answer.snapshot)
        self._kept = {answer.pod: self._kept[answer.pod] for answer in answers}
        return {pod: digest for pod, (_, _, digest) in self._kept.items()}

    def read(self, pod: str, stage: str, snapshot: Snapshot) -> None:
        """A snapshot of a pod of this stage, unless it was read before: as it comes, so that the next tick
        need not. Nothing before the first tick, which tells the stages."""
        last = self._kept.get(pod)
        if self._stages and (last is None or last[0] is not snapshot or last[1] != stage):
            self._kept[pod] = (snapshot, stage, digest_of(snapshot, pod, stage, self._stages))

    def figures(self, stage: StageSpec, words: tuple[Word, ...]) -> StageSignals:
        """Of a stage, from every pod's word of it; without sources."""
        last = self._figures.get(stage.name)
        if last is None or last[0] != words:
            last = self._figures[stage.name] = (words, _figures(stage, words))
        return last[1]


def merge(
    stages: Iterable[StageSpec],
    expected: Mapping[str, Iterable[str]],
    answers: Iterable[Answer],
    *,
    stale_after_ms: int,
    now_us: int,
    digests: Digests | None = None,
) -> dict[str, StageSignals]:
    """The signals of every stage by name.

    `expected` names, for each stage, the pods that should answer: ready ones, without those that became
    ready a moment ago and cannot have answered yet, or every raise would end in stale signals. Others are
    heard too. An answer older than `stale_after_ms`, impossible, or of another schema counts as none, and
    is named in `Sources.ignored`. `digests` spares work and changes nothing.
    """
    listed = sorted(answers, key=lambda answer: answer.pod)
    used = [one for one in listed if one.snapshot is not None and not _refused(one, stale_after_ms)]
    digests = digests or Digests()
    specs = tuple(stages)
    found = digests.of(used, specs)
    words: dict[str, list[Word]] = {stage.name: [] for stage in specs}
    for digest in found.values():
        for name, word in digest.words.items():
            words[name].append(word)
    # What a pod says of its downstream casts doubt on its own stage's word too.
    doubts = {pod: digest.doubts.texts() for pod, digest in found.items()}
    by_stage: dict[str, list[Answer]] = {stage.name: [] for stage in specs}
    for answer in listed:
        if answer.stage in by_stage:
            by_stage[answer.stage].append(answer)
    return {
        stage.name: structs.replace(
            digests.figures(stage, tuple(words[stage.name])),
            sources=_sources(
                expected.get(stage.name, ()), by_stage[stage.name], doubts, stale_after_ms, now_us
            ),
        )
        for stage in specs
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


def _figures(stage: StageSpec, words: Sequence[Word]) -> StageSignals:
    lags_ms = [word.lag_ms for word in words if word.lag_ms is not None]
    cpus = [cpu for word in words for cpu in word.cpus_per_mille]
    rows = [map(sum, zip(*each, strict=True)) for each in zip(*(word.counts for word in words), strict=True)]
    totals = [tuple(row) for row in rows] or [(0, 0, 0, 0)] * len(WINDOWS_MS)
    return StageSignals(
        lag_ms=max(lags_ms, default=None),
        depth=sum(word.depth for word in words),
        workers=len(frozenset().union(*(word.workers for word in words))),
        cpu_per_mille=sum(cpus) // len(cpus) if cpus else None,
        windows=tuple(
            WindowCounts(
                window_ms=window_ms, handled=row[0], flow_throttled=row[1], shed=row[2], blocked_ms=row[3]
            )
            for window_ms, row in zip(WINDOWS_MS, totals, strict=True)
        ),
        latencies=merge_latency(stage, words),
        events=tuple(sorted(frozenset().union(*(word.events for word in words)))[: limits.MAX_EVENTS_TOLD]),
    )


def _sources(
    expected: Iterable[str],
    own: list[Answer],
    doubts: Mapping[str, list[str]],
    stale_after_ms: int,
    now_us: int,
) -> Sources:
    """Who answered for a stage's own pods; `doubts` are of those whose answer counts."""
    names = set(expected)
    ignored = [f"{answer.pod}: {reason}" for answer in own if (reason := _refused(answer, stale_after_ms))]
    ignored += [f"{name}: no answer" for name in sorted(names - {answer.pod for answer in own})]
    used = [answer for answer in own if answer.pod in doubts]
    remarks = []
    for answer in used:
        ignored += doubts[answer.pod]
        assert answer.snapshot is not None
        skew_ms = abs(answer.snapshot.taken_us - (now_us - answer.age_ms * 1000)) // 1000
        if skew_ms > limits.CLOCK_SKEW_MS:
            remarks.append(f"{answer.pod}: its wall clock is {skew_ms} ms off")
    # A pod whose word was doubted in any part has not answered: what it left out may be the worst of it.
    sound = {answer.pod for answer in used if not doubts[answer.pod]}
    return Sources(
        expected=len(names),
        answered=len(names & sound),
        oldest_ms=max((answer.age_ms for answer in used), default=0),
        ignored=tuple(ignored),
        remarks=tuple(remarks),
    )
