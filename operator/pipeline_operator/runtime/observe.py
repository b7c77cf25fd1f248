"""What the policy sees of one Pipeline: StatefulSets, pods and collectors, put into its words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.clock import NS_PER_MS, NS_PER_US
from pipeline_operator import limits
from pipeline_operator.collectors.feeds import Feeds
from pipeline_operator.merge import Answer, Digests, merge
from pipeline_operator.observation import Observation, Refusal, StageObservation, StageSignals
from pipeline_operator.runtime.replicas import KnownReplicas
from pipeline_operator.runtime.seen import SeenPod, SeenSet
from pipeline_operator.runtime.targets import Fault
from pipeline_operator.runtime.world import World
from pipeline_operator.spec import PipelineSpec, StageSpec, Tuning

US_PER_MS = NS_PER_MS // NS_PER_US


class Starts:
    """Start times of pods, each told once."""

    def __init__(self, since_us: int) -> None:
        """Those that became ready before `since_us` were told by a former operator."""
        self._since_us = since_us
        self._told: set[str] = set()

    def new(self, pods: Iterable[SeenPod]) -> tuple[int, ...]:
        """In ms, creation to ready. A pod whose container was restarted tells nothing about starting."""
        found = []
        for pod in pods:
            if pod.ready_us is None or pod.uid in self._told:
                continue
            self._told.add(pod.uid)
            took_ms = (pod.ready_us - pod.created_us) // US_PER_MS
            if pod.ready_us >= self._since_us and not pod.restarts and 0 <= took_ms <= limits.MAX_START_MS:
                found.append(took_ms)
        return tuple(found)

    def keep_only(self, uids: set[str]) -> None:
        """Forget pods that are gone."""
        self._told &= uids


def observe(
    namespace: str,
    spec: PipelineSpec,
    world: World,
    feeds: Feeds,
    faults: Mapping[str, Fault],
    known: Mapping[str, KnownReplicas],
    starts: Starts,
    refused: Mapping[str, Refusal],
    now_us: int,
    digests: Digests | None = None,
) -> Observation:
    """All stages of `spec` at `now_us`; `faults`, `known` and `refused` are by stage. `digests` are of this
    Pipeline's collectors, kept from tick to tick."""
    sets = {stage.name: world.sets.get(namespace, stage.target) for stage in spec.stages}
    pods = {name: world.pods_of(found) if found else [] for name, found in sets.items()}
    signals = _signals(namespace, spec, pods, feeds, now_us, digests)
    starts.keep_only({pod.uid for some in pods.values() for pod in some})
    return Observation(
        stages=tuple(
            _stage(stage, sets[stage.name], pods[stage.name], faults, known, starts, refused, signals, now_us)
            for stage in spec.stages
        )
    )


def _signals(
    namespace: str,
    spec: PipelineSpec,
    pods: Mapping[str, list[SeenPod]],
    feeds: Feeds,
    now_us: int,
    digests: Digests | None,
) -> dict[str, StageSignals]:
    expected: dict[str, list[str]] = {}
    answers = []
    for stage in spec.stages:
        due = expected.setdefault(stage.name, [])
        for pod in pods[stage.name]:
            feed = feeds.of(namespace, pod.name)
            has_answered = feed is not None and feed.snapshot is not None
            if not pod.deleting and _should_answer(pod, has_answered, spec.tuning, now_us):
                due.append(pod.name)
            if feed is not None and (has_answered or pod.name in due):
                answers.append(
                    Answer(
                        pod=pod.name,
                        stage=stage.name,
                        age_ms=feed.age_ms(),
                        snapshot=feed.snapshot,
                        fault=feed.fault,
                    )
                )
    return merge(
        spec.stages,
        expected,
        answers,
        stale_after_ms=spec.tuning.stale_after_ms,
        now_us=now_us,
        digests=digests,
    )


def _should_answer(pod: SeenPod, has_answered: bool, tuning: Tuning, now_us: int) -> bool:
    """A ready pod, once it has answered or has had the time to: or every raise would end in stale signals."""
    if pod.ready_us is None:
        return False
    return has_answered or now_us - pod.ready_us >= tuning.stale_after_ms * US_PER_MS


def _stage(
    stage: StageSpec,
    target: SeenSet | None,
    pods: list[SeenPod],
    faults: Mapping[str, Fault],
    known: Mapping[str, KnownReplicas],
    starts: Starts,
    refused: Mapping[str, Refusal],
    signals: Mapping[str, StageSignals],
    now_us: int,
) -> StageObservation:
    staying = [pod for pod in pods if not pod.deleting]
    starting = [pod for pod in staying if pod.ready_us is None]
    ours, fault = known.get(stage.name), faults.get(stage.name)
    return StageObservation(
        stage=stage.name,
        replicas=target.replicas if target else 0,
        ready=len(staying) - len(starting),
        starting_ms=tuple(sorted(max(0, now_us - pod.created_us) // US_PER_MS for pod in starting)),
        terminating=len(pods) - len(staying),
        started_ms=starts.new(staying),
        unschedulable=sum(pod.unschedulable for pod in starting),
        version=target.version if target else "",
        revision=target.revision if target else "",
        foreign_us=ours.foreign_us if ours else None,
        put_back_from=ours.put_back_from if ours else None,
        fault=fault.text if fault else "",
        fault_reason=fault.reason if fault else None,
        refused=refused.get(stage.name),
        signals=signals[stage.name],
    )
