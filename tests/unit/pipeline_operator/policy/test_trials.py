"""A trial of one less that failed is remembered, and not repeated under such a load."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from msgspec import structs
from sights import MS, START_US, S, a_minute, a_spec, a_stage, remembering, seen

from pipeline_operator import limits
from pipeline_operator.memory import Capacity, Memory, StageMemory, decode_memory, encode_memory
from pipeline_operator.policy import decide
from pipeline_operator.record import Record
from pipeline_operator.spec import PipelineSpec

LONG_AGO = START_US - 600 * S


def tried(
    *, load: int = 100, ready: int = 3, now_us: int = START_US, revision: str = "", **agent: Any
) -> Record:
    """Agents that have had a comfortable minute under `load` messages a second."""
    stage = a_stage("agent", ready=ready, rate=load, revision=revision)
    memory = remembering(now_us, agent={"seconds": a_minute(load * 1000, 20, now_us), **agent})
    return decide(
        a_spec(), seen(gateway=a_stage("gateway", ready=1, rate=load), agent=stage), memory, now_us
    )[1]


def refuted(each: int, at_us: int = START_US - 600 * S, revision: str = "") -> Capacity:
    return Capacity(refuted_milli=each * 1000, refuted_us=at_us, revision=revision)


def test_a_comfortable_stage_of_unknown_capacity_tries_one_less() -> None:
    assert tried().stage("agent").after == 2


@pytest.mark.parametrize(("load", "after"), [(100, 3), (200, 3), (91, 3), (89, 2), (50, 2)])
def test_what_failed_under_so_much_a_replica_is_tried_under_less_only(load: int, after: int) -> None:
    """Two of three under 100/s bear 50/s each."""
    assert tried(load=load, capacity=refuted(50)).stage("agent").after == after


def test_a_failure_is_believed_for_a_day() -> None:
    day_us = limits.REFUTED_S * S
    assert tried(capacity=refuted(50, START_US - day_us + 1)).stage("agent").after == 3
    assert tried(capacity=refuted(50, START_US - day_us)).stage("agent").after == 2


def test_other_code_may_do_better() -> None:
    assert tried(revision="v2", capacity=refuted(50, revision="v2")).stage("agent").after == 3
    assert tried(revision="v2", capacity=refuted(50, revision="v1")).stage("agent").after == 2


def test_a_trial_notes_when_and_under_which_load_it_was() -> None:
    now_us = START_US
    memory = remembering(now_us, agent={"seconds": a_minute(80_000, 20, now_us)})
    sight = seen(gateway=a_stage("gateway", ready=1, rate=80), agent=a_stage("agent", ready=3, rate=80))
    after, record = decide(a_spec(), sight, memory, now_us)
    assert [write.replicas for write in record.writes if write.stage == "agent"] == [2]
    assert (agents(after).trial_us, agents(after).trial_milli) == (now_us, 80_000)
    assert agents(decode_memory(encode_memory(after))) == agents(after)


def breached(load: int = 100, *, since_s: int = 5, trial: bool = True, **agent: Any) -> tuple[Memory, Record]:
    """Two agents, lowered a moment ago under 100/s, that violate their lag."""
    at_us = START_US - since_s * S
    past = {"lowered_us": at_us, "raised_us": LONG_AGO, "seconds": a_minute(load * 1000, 20, START_US)}
    past |= {"trial_us": at_us, "trial_milli": 100_000} if trial else {}
    sight = seen(
        gateway=a_stage("gateway", ready=1, rate=load),
        agent=a_stage("agent", ready=2, rate=20, lag_ms=3_000),
    )
    return decide(a_spec(), sight, remembering(agent=past | agent), START_US)


def test_a_breach_after_a_trial_puts_back_what_there_was_and_teaches() -> None:
    memory, record = breached()
    assert record.stage("agent").after == 3
    assert agents(memory).capacity.refuted_milli == 50_000
    assert agents(memory).capacity.refuted_us == START_US


def test_a_breach_after_another_kind_of_lowering_raises_as_ever_and_teaches_nothing() -> None:
    memory, record = breached(trial=False)
    assert record.stage("agent").after > 3
    assert agents(memory).capacity.refuted_milli == 0


def test_a_load_that_has_risen_meanwhile_gets_all_it_needs() -> None:
    memory, record = breached(load=126)
    assert record.stage("agent").after > 3
    assert agents(memory).capacity.refuted_milli == 63_000


def test_a_breach_long_after_a_trial_is_not_its_doing() -> None:
    assert agents(breached(since_s=121)[0]).capacity.refuted_milli == 0
    assert agents(breached(since_s=120)[0]).capacity.refuted_milli == 50_000


def test_the_least_load_that_failed_is_kept_while_it_is_believed() -> None:
    def after(capacity: Capacity) -> int:
        return agents(breached(capacity=capacity)[0]).capacity.refuted_milli

    assert after(refuted(40)) == 40_000
    assert after(refuted(60)) == 50_000
    assert after(refuted(40, START_US - limits.REFUTED_S * S)) == 50_000


def agents(memory: Memory) -> StageMemory:
    return next(stage for stage in memory.stages if stage.stage == "agent")


@pytest.mark.parametrize(
    ("rate", "each", "seed"),
    [(21, 19, 2), (16, 12, 1), (25, 15, 2), (14.8, 4.6, 168)],
)
def test_a_constant_load_with_its_noise_comes_to_rest(rate: float, each: float, seed: int) -> None:
    """Few messages a second, of which nothing is known at first: each replica is added for good, and none
    is taken away and added again once every number has been tried."""
    path = replicas_over_time(rate, each, seed, minutes=40)
    late = [(before, after) for (_, before), (at_s, after) in pairwise(path) if at_s > 20 * 60]
    assert len(late) <= 1, path
    assert path[-1][1] * each >= rate
    assert (path[-1][1] - 2) * each <= rate * 1.5, path


def replicas_over_time(rate: float, each: float, seed: int, minutes: int) -> list[tuple[int, int]]:
    """Seconds and replicas at each change: agents that do `each` a second and need 3 s to start, under
    arrivals with the spread of chance."""
    chance, spec, memory = random.Random(seed), quiet(a_spec()), Memory()
    replicas, backlog, path = 1, 0.0, [(0, 1)]
    starting: list[int] = []
    for tick in range(minutes * 60 * 4):
        arrived = max(0.0, chance.gauss(rate, rate**0.5)) / 4
        starting = [at for at in starting if tick - at < 12]
        ready = replicas - len(starting)
        done = min(backlog + arrived, ready * each / 4)
        backlog += arrived - done
        lag_ms = int(backlog / max(done * 4, 1) * 1000) + 5
        agent = a_stage(
            "agent", ready=ready, replicas=replicas, rate=int(done * 4), lag_ms=lag_ms,
            depth=min(int(backlog), 64), starting_ms=tuple((tick - at) * 250 for at in starting),
        )  # fmt: skip
        gateway = a_stage("gateway", ready=1, rate=int(arrived * 4))
        memory, record = decide(spec, seen(gateway=gateway, agent=agent), memory, START_US + tick * 250 * MS)
        after = record.stage("agent").after
        if after != replicas:
            starting += [tick] * (after - replicas)
            starting = starting[: max(0, after - ready)]
            replicas = after
            path.append((tick // 4, after))
    return path


def quiet(spec: PipelineSpec) -> PipelineSpec:
    """Only the agents are decided on: the others are as they are."""
    return structs.replace(
        spec,
        stages=tuple(
            stage if stage.name == "agent" else structs.replace(stage, max_replicas=stage.min_replicas)
            for stage in spec.stages
        ),
    )
