"""Merges what the pods' collectors answered into the signals of each stage.

A pod's collector speaks of its own workers (handled, blocked, latencies) and, as the sender, of the workers
that its own ones send to (lag, flow throttling). So a stage's lag is the worst that any pod tells, its
counts are the sum over all pods, and its percentiles come from the merged buckets, never from percentiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from pipeline.snapshot import Snapshot
from pipeline_operator.observation import StageSignals
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

    `expected` names, for each stage, the pods that should answer (ready ones). An answer older than
    `stale_after_ms`, impossible, or of another schema counts as none, and is named in `Sources.ignored`.
    """
    raise NotImplementedError
