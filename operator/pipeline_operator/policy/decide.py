"""The tick: one decision on all stages, with its record and the memory for the next one. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_operator.flow import flow_order, stages_after
from pipeline_operator.memory import Memory, StageMemory
from pipeline_operator.observation import Observation
from pipeline_operator.policy.conditions import conditions
from pipeline_operator.policy.facts import Facts, facts_of
from pipeline_operator.policy.remember import remembered
from pipeline_operator.policy.sentences import decision_sentence, stage_sentence
from pipeline_operator.policy.solve import Choice, solve
from pipeline_operator.record import Inputs, Record, StageResult, Write
from pipeline_operator.spec import PipelineSpec


def decide(
    spec: PipelineSpec, observation: Observation, memory: Memory, now_us: int
) -> tuple[Memory, Record]:
    """The next memory and the record. `now_us` is wall clock and should never fall."""
    ordered = _facts(spec, observation, memory, now_us)
    choices = solve(ordered, spec, now_us)
    listed = [choices[facts.spec.name] for facts in ordered]
    writes = _writes(listed) if spec.mode == "active" else ()
    written = {write.stage: write.replicas for write in writes}
    # Stages that are not seen just now keep what was learned of them.
    kept = {stage.stage: stage for stage in memory.stages if stage.stage in {s.name for s in spec.stages}}
    for choice in listed:
        name = choice.facts.spec.name
        kept[name] = remembered(choice, choices, spec.tuning, written.get(name), now_us)
    seen = {facts.spec.name for facts in ordered}
    missing = sorted(stage.name for stage in spec.stages if stage.name not in seen)
    record = Record(
        at_us=now_us,
        mode=spec.mode,
        sentence=decision_sentence(listed, spec.mode),
        stages=tuple(map(_result, listed)),
        writes=writes,
        conditions=conditions(listed, missing, spec, now_us),
        inputs=Inputs(spec=spec, observation=observation, memory=memory),
    )
    return Memory(at_us=now_us, stages=tuple(kept[name] for name in sorted(kept))), record


def _facts(spec: PipelineSpec, observation: Observation, memory: Memory, now_us: int) -> list[Facts]:
    """Of every stage that is seen, in flow order."""
    seen = {stage.stage: stage for stage in observation.stages}
    past = {stage.stage: stage for stage in memory.stages}
    return [
        facts_of(
            stage,
            seen[stage.name],
            past.get(stage.name) or StageMemory(stage=stage.name),
            [seen[name] for name in stage.upstream if name in seen],
            spec.tuning,
            now_us,
            after=[(later, seen.get(later.name)) for later in stages_after(stage.name, spec.stages)],
        )
        for stage in flow_order(spec.stages)
        if stage.name in seen
    ]


def _writes(choices: Sequence[Choice]) -> tuple[Write, ...]:
    return tuple(
        Write(
            stage=choice.facts.spec.name,
            target=choice.facts.spec.target,
            before=choice.facts.seen.replicas,
            replicas=choice.after,
        )
        for choice in choices
        if choice.after != choice.facts.seen.replicas
    )


def _result(choice: Choice) -> StageResult:
    facts = choice.facts
    return StageResult(
        stage=facts.spec.name,
        target=facts.spec.target,
        before=facts.seen.replicas,
        ready=facts.seen.ready,
        counted=facts.counted.replicas,
        wanted=choice.wanted,
        after=choice.after,
        demand_milli=choice.load.base_milli,
        capacity_milli=facts.capacity_milli,
        capacity_low_milli=facts.capacity_low_milli,
        slas=facts.slas,
        proposals=choice.proposals,
        effects=choice.effects,
        sentence=stage_sentence(choice),
    )
