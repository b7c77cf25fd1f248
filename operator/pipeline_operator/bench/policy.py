"""What one decision costs: ten stages of twenty pods, some of them in trouble; CPU time, by batches."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence

from msgspec import structs

from pipeline.figures import Bench, at_most, shown
from pipeline.machine import machine, versions
from pipeline.snapshot import Counts, Latency, Replica, Snapshot, Stage
from pipeline.telemetry.sketch import Sketch
from pipeline_operator.memory import Memory, encode_memory
from pipeline_operator.merge import Answer, Digests, merge
from pipeline_operator.observation import Observation, StageObservation
from pipeline_operator.policy import decide
from pipeline_operator.record import encode_record
from pipeline_operator.spec import LatencySla, PipelineSpec, Slas, StageSpec

STAGES, PODS = 10, 20
TICK_TARGET_MS = 1.0
_START_US = 1_700_000_000_000_000
_TICK_US = 250_000
_EVENT = "AGENT_DECISION"


def run(rounds: int) -> Bench:
    """`rounds` batches of each figure; the median counts."""
    spec = bench_spec()
    answers = bench_answers()
    expected = {stage.name: [f"{stage.name}-{pod}" for pod in range(PODS)] for stage in spec.stages}

    digests = Digests()

    def merged(said: Sequence[Answer] = answers) -> Observation:
        signals = merge(spec.stages, expected, said, stale_after_ms=3000, now_us=_START_US, digests=digests)
        return Observation(
            stages=tuple(
                StageObservation(stage=name, replicas=PODS, ready=PODS, signals=its)
                for name, its in signals.items()
            )
        )

    observation = merged()
    memory = Memory()
    for tick in range(260):  # a full minute of history
        memory, record = decide(spec, observation, memory, _START_US + tick * _TICK_US)
    now_us = _START_US + 260 * _TICK_US
    decision_ms = _median_ms(lambda: decide(spec, observation, memory, now_us), rounds, 20)

    def tick_ms(news: Iterator[Sequence[Answer]]) -> float:
        """What is new is read as it comes, before the tick."""
        found = []
        for said in itertools.islice(news, rounds + 1):
            _read(digests, said)
            began_ns = time.process_time_ns()
            decide(spec, merged(said), memory, now_us)
            found.append((time.process_time_ns() - began_ns) / 1e6)
        return sorted(found[1:])[rounds // 2]

    read_ms = _median_ms(lambda: _read(_new_digests(spec), answers), rounds, 1) / len(answers)
    record_ms = _median_ms(lambda: encode_record(record), rounds, 20)
    memory_ms = _median_ms(lambda: encode_memory(memory), rounds, 20)
    size = f"{STAGES} stages of {PODS} pods"
    snapshots = STAGES * PODS
    decision = "the decision alone"
    ticks = [
        shown(
            f"tick: merge of {snapshots} snapshots, {told}, and decision",
            took_ms,
            "ms",
            decision,
            decision_ms,
        )
        for told, took_ms in (
            ("none new", tick_ms(itertools.repeat(answers))),
            ("half of them new", tick_ms(_told_again(answers, snapshots // 2))),
            ("all new", tick_ms(_told_again(answers, snapshots))),
        )
    ]
    target = ("ms", TICK_TARGET_MS, "the wanted tick", TICK_TARGET_MS)
    return Bench(
        machine=machine(),
        versions=versions(),
        results=(
            at_most(f"decision alone, {size}", decision_ms, *target),
            *ticks,
            shown("reading of one snapshot as it comes", read_ms, "ms", decision, decision_ms),
            shown("record as a JSON line", record_ms, "ms", decision, decision_ms),
            shown("memory as JSON", memory_ms, "ms", decision, decision_ms),
            shown("size of a record", len(encode_record(record)), "bytes", "an etcd object (1.5 MB)", 1.5e6),
        ),
    )


def _read(digests: Digests, said: Sequence[Answer]) -> None:
    for answer in said:
        if answer.snapshot is not None:
            digests.read(answer.pod, answer.stage, answer.snapshot)


def _new_digests(spec: PipelineSpec) -> Digests:
    """That know the stages and have read nothing."""
    digests = Digests()
    digests.of((), spec.stages)
    return digests


def _told_again(answers: Sequence[Answer], changed: int) -> Iterator[Sequence[Answer]]:
    """The same for ever; from one turn to the next so many of them, spread over all stages, come in another
    snapshot."""
    each = len(answers) // changed
    again = [
        structs.replace(answer, snapshot=structs.replace(answer.snapshot))
        if at % each == 0 and answer.snapshot is not None
        else answer
        for at, answer in enumerate(answers)
    ]
    return itertools.cycle([again, answers])


def bench_spec() -> PipelineSpec:
    """A chain with every kind of SLA."""
    names = [f"stage-{index}" for index in range(STAGES)]
    return PipelineSpec(
        stages=tuple(
            StageSpec(
                name=name,
                target=name,
                upstream=(names[index - 1],) if index else (),
                max_replicas=100,
                slas=Slas(
                    lag_ms=1000 if index else None,
                    throttle_per_mille=5,
                    latency=(LatencySla(event=_EVENT, percentile_basis_points=9500, limit_ms=30),),
                ),
            )
            for index, name in enumerate(names)
        ),
        replica_budget=500,
    )


def bench_answers() -> list[Answer]:
    """What the pods' collectors say: their own stage, and as senders the lag of the next one."""
    sketch = Sketch()
    sketch.add(range(1_000_000, 40_000_000, 390_000))
    data = sketch.to_bytes()
    return [_answer(stage, pod, data) for stage in range(STAGES) for pod in range(PODS)]


def _answer(stage: int, pod: int, data: bytes) -> Answer:
    counts = tuple(
        Counts(window_s=window_s, handled=int(90 * window_s), flow_throttled=1)
        for window_s in (1.0, 5.0, 60.0)
    )
    latencies = tuple(
        Latency(event=_EVENT, window_s=window_s, count=100, sketch=data) for window_s in (1.0, 5.0, 60.0)
    )
    own = Replica(stage=f"stage-{stage}", ordinal=pod, name=f"stage-{stage}-{pod}", age_ms=10, cpu_percent=50)
    downstream = [
        Replica(
            stage=f"stage-{stage + 1}",
            ordinal=other,
            name=f"stage-{stage + 1}-{other}",
            age_ms=10,
            lag_ms=1500,
        )
        for other in range(PODS)
    ]
    snapshot = Snapshot(
        taken_us=_START_US,
        uptime_s=100,
        stages=(Stage(stage=f"stage-{stage}", lag_ms=None, depth=3, counts=counts, latencies=latencies),),
        replicas=(own, *downstream),
        latencies=(),
    )
    return Answer(pod=f"stage-{stage}-{pod}", stage=f"stage-{stage}", age_ms=100, snapshot=snapshot)


def _median_ms(work: Callable[[], object], rounds: int, batch: int) -> float:
    """CPU time of one call: others on the machine do not count."""
    work()
    found = []
    for _ in range(rounds):
        began_ns = time.process_time_ns()
        for _ in range(batch):
            work()
        found.append((time.process_time_ns() - began_ns) / batch / 1e6)
    return sorted(found)[len(found) // 2]
