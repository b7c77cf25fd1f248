"""What the policy sees at one tick: replicas as Kubernetes tells them, signals as the collectors do.

All figures are integers with their unit in the name, so that a record of them is exact.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

WINDOWS_MS = (1_000, 5_000, 60_000)
"""Raised on the first, lowered on the last."""


class SlaVerdict(StrEnum):
    """What can be said of an SLA."""

    MET = "met"
    VIOLATED = "violated"
    UNKNOWN = "unknown"


class WindowCounts(Struct, frozen=True, kw_only=True):
    """What a stage's workers did within a window, all pods together.

    `flow_throttled` messages waited for this stage's credit (its senders say so); `shed` were refused for
    lack of capacity; `blocked_ms` is time with output and no credit, summed over its workers.
    """

    window_ms: int
    handled: int = 0
    flow_throttled: int = 0
    shed: int = 0
    blocked_ms: int = 0


class LatencySignal(Struct, frozen=True, kw_only=True):
    """One percentile of one event over one window, from the merged sketches of all pods; never an average.

    `lost` records were dropped. `value_us` is None when nothing was recorded.
    """

    event: str
    percentile_basis_points: int
    limit_ms: int
    window_ms: int
    count: int
    lost: int = 0
    value_us: int | None = None
    verdict: SlaVerdict = SlaVerdict.UNKNOWN


class Sources(Struct, frozen=True, kw_only=True):
    """Whose word the signals are: pods expected to answer, those that did in time, the oldest of these
    answers.

    `ignored` names pods whose answer, or a part of it, was not used, each with the reason
    (`agent-1: lag_ms is negative`); `remarks` what was odd and used anyway.
    """

    expected: int = 0
    answered: int = 0
    oldest_ms: int = 0
    ignored: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class StageSignals(Struct, frozen=True, kw_only=True):
    """The signals of one stage. `lag_ms` and `flow_throttled` come from the pods of the stages upstream.

    `depth` is what its workers have queued, `workers` how many were seen, `cpu_per_mille` their mean share
    of a core (None: not reported).
    """

    sources: Sources = Sources()
    lag_ms: int | None = None
    depth: int = 0
    workers: int = 0
    cpu_per_mille: int | None = None
    windows: tuple[WindowCounts, ...] = ()
    latencies: tuple[LatencySignal, ...] = ()
    events: tuple[str, ...] = ()
    """All that its pods have ever recorded latencies of, where it has an SLA of any."""

    def window(self, window_ms: int) -> WindowCounts:
        """The counts of a window; zeros when nobody reported it."""
        for counts in self.windows:
            if counts.window_ms == window_ms:
                return counts
        return WindowCounts(window_ms=window_ms)


class Refusal(Struct, frozen=True, kw_only=True):
    """Why the last write of a target was refused, so that trying it again at once is of no use."""

    reason: str
    """One word: ScaleForbidden (no right to it), ScaleRefused (anything else)."""
    message: str
    """Which target, and what the API server said."""
    waits: bool
    """It is not tried again yet."""


class FaultReason(StrEnum):
    """Why a target cannot be scaled: there is none, an older Pipeline has it, or an autoscaler."""

    MISSING = "TargetMissing"
    TAKEN = "TargetTaken"
    AUTOSCALED = "TargetAutoscaled"


class StageObservation(Struct, frozen=True, kw_only=True):
    """One stage at one tick.

    `replicas` is the target's `spec.replicas`, `ready` its ready pods, `starting_ms` the ages of pods that
    are not ready yet, `terminating` those that leave. `started_ms` are the start times (creation to ready)
    of pods that became ready since the last tick, each told once. `unschedulable` pods found no node.
    `version` is the target's resourceVersion. `revision` names the code that runs: another one has another
    capacity. `foreign_us` is when somebody else last changed the replicas (None: nobody did);
    `put_back_from` is how many there were before an upgrade or rollback of the release, which does not decide
    them, put them down (None: it did not). `fault` says why the target cannot be scaled at all (it is
    missing, or belongs to somebody else), and `fault_reason` which of these it is (None in records of
    before); such a stage is left alone. `refused` says why what was last decided on it could not be written.
    """

    stage: str
    replicas: int
    ready: int
    starting_ms: tuple[int, ...] = ()
    terminating: int = 0
    started_ms: tuple[int, ...] = ()
    unschedulable: int = 0
    version: str = ""
    revision: str = ""
    foreign_us: int | None = None
    put_back_from: int | None = None
    fault: str = ""
    fault_reason: FaultReason | None = None
    refused: Refusal | None = None
    signals: StageSignals = StageSignals()


class Observation(Struct, frozen=True, kw_only=True):
    """All stages at one tick; their order means nothing, and one that is not here is not decided on."""

    stages: tuple[StageObservation, ...] = ()
