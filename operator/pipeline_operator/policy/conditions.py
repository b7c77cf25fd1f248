"""The conditions of a Pipeline, all of them at every tick, derived from the decision."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_operator import limits
from pipeline_operator.observation import FaultReason
from pipeline_operator.policy.facts import culprits
from pipeline_operator.policy.limiters import is_contested
from pipeline_operator.policy.proposals import said
from pipeline_operator.policy.slas import unknown_events
from pipeline_operator.policy.solve import Choice
from pipeline_operator.record import Condition, ConditionType
from pipeline_operator.spec import PipelineSpec
from pipeline_operator.words import answering, counted, does, duration, plural

CEILINGS = ("Bounds", "Budget")
PODS_MISSING = "PodsMissing"
"""Why a Pipeline is not Ready that only waits for pods, as after an install."""
NOBODY_ASKED = "NobodyAsked"
_MODES = {"paused": "nothing is decided", "recommend": "decisions are told and not carried out"}


def conditions(
    choices: Sequence[Choice], missing: Sequence[str], spec: PipelineSpec, now_us: int
) -> tuple[Condition, ...]:
    """`missing` are stages of the spec that were not observed."""
    return (
        _ready(choices, missing),
        _scaling_active(choices, missing, spec),
        _some(ConditionType.AT_CAPACITY, "NoRoom", "RoomLeft", _at_capacity(choices)),
        _some(ConditionType.BOTTLENECK_ELSEWHERE, "WaitsForOthers", "NoneWaits", _elsewhere(choices)),
        _some(ConditionType.CONTESTED, "ForeignChange", "Undisputed", _contested(choices, spec, now_us)),
        _some(ConditionType.PODS_STUCK, "TooLongInStarting", "StartsInTime", _stuck(choices)),
        _stale(choices),
    )


ALL_WELL = {
    ConditionType.READY: "every stage has its pods",
    ConditionType.SCALING_ACTIVE: "what is decided is carried out",
    ConditionType.AT_CAPACITY: "no stage lacks replicas that it may not have",
    ConditionType.BOTTLENECK_ELSEWHERE: "no stage waits for another one",
    ConditionType.CONTESTED: "nobody else changes the replicas",
    ConditionType.PODS_STUCK: "pods start as fast as they are known to",
    ConditionType.SIGNALS_STALE: "every collector answers in time",
}
"""What a condition says when there is nothing to say."""


def _some(kind: ConditionType, yes: str, no: str, messages: list[str]) -> Condition:
    return Condition(
        type=kind,
        status="True" if messages else "False",
        reason=yes if messages else no,
        message="; ".join(messages) or ALL_WELL[kind],
    )


def _ready(choices: Sequence[Choice], missing: Sequence[str]) -> Condition:
    """Whether each stage has its pods, whoever scales it; what an older Pipeline has is not this one's."""
    absent = [f"{name} was not seen" for name in missing]
    taken, short = [], []
    for choice in choices:
        seen, least = choice.facts.seen, choice.facts.spec.min_replicas
        if seen.fault_reason is FaultReason.TAKEN:
            taken.append(f"{seen.stage}: {seen.fault}")
        elif seen.fault and seen.fault_reason is not FaultReason.AUTOSCALED:
            absent.append(f"{seen.stage}: {seen.fault}")
        elif seen.ready < least:
            short.append(f"{seen.stage} has {seen.ready} of at least {least} ready {plural(least, 'pod')}")
    return Condition(
        type=ConditionType.READY,
        status="False" if absent or taken or short else "True",
        reason=_first(("StagesMissing", absent), ("StagesTaken", taken), (PODS_MISSING, short))
        or "StagesReady",
        message="; ".join(absent + taken + short) or ALL_WELL[ConditionType.READY],
    )


def _first(*reasons: tuple[str, list[str]]) -> str:
    """The first one with something to tell; empty when there is none."""
    return next((reason for reason, told in reasons if told), "")


def _scaling_active(choices: Sequence[Choice], missing: Sequence[str], spec: PipelineSpec) -> Condition:
    faults = [("TargetFault", f"{name} was not seen") for name in missing]
    faults += [
        (
            choice.facts.seen.fault_reason or "TargetFault",
            f"{choice.facts.spec.name}: {choice.facts.seen.fault}",
        )
        for choice in choices
        if choice.facts.seen.fault
    ]
    if spec.mode != "active":
        reason = {"paused": "Paused", "recommend": "RecommendOnly"}[spec.mode]
        return Condition(
            type=ConditionType.SCALING_ACTIVE,
            status="False",
            reason=reason,
            message=f"the mode is {spec.mode}: {_MODES[spec.mode]}",
        )
    faults += [
        (choice.facts.seen.refused.reason, f"{choice.facts.spec.name}: {choice.facts.seen.refused.message}")
        for choice in choices
        if choice.facts.seen.refused is not None
    ]
    return Condition(
        type=ConditionType.SCALING_ACTIVE,
        status="False" if faults else "True",
        reason=faults[0][0] if faults else "Scaling",
        message="; ".join(text for _, text in faults) or ALL_WELL[ConditionType.SCALING_ACTIVE],
    )


def _at_capacity(choices: Sequence[Choice]) -> list[str]:
    """Stages that want more than they may have, and violated ones at their maximum."""
    found = []
    for choice in choices:
        facts, name = choice.facts, choice.facts.spec.name
        cut = [e for e in choice.effects if e.limiter in CEILINGS and e.after < e.before]
        at_most = choice.after >= facts.spec.max_replicas
        if cut and choice.wanted > facts.seen.replicas:
            found.append(f"{name} wants {counted(choice.wanted, 'replica')}, but {cut[-1].why}")
        elif at_most and facts.violated and not facts.blocked and not choice.starved:
            most = facts.spec.max_replicas
            found.append(f"{name} has its maximum of {most}, and its {said(facts.violated[0])}")
    return found


def _elsewhere(choices: Sequence[Choice]) -> list[str]:
    by_name = {choice.facts.spec.name: choice.facts for choice in choices}
    found = []
    for choice in choices:
        name = choice.facts.spec.name
        if choice.facts.blocked:
            held_by = culprits(choice.facts, by_name)
            credit = "credit of " if all(name in by_name[one].spec.upstream for one in held_by) else ""
            found.append(f"{name} waits for {credit}{' and '.join(held_by) or 'nobody known'}")
        elif choice.starved:
            found.append(f"{name} is kept short by a stage before it")
    return found


def _contested(choices: Sequence[Choice], spec: PipelineSpec, now_us: int) -> list[str]:
    held = duration(spec.tuning.contested_hold_ms)
    return [
        f"somebody else set {choice.facts.spec.target} to {counted(choice.facts.seen.replicas, 'replica')}, "
        f"which is respected for {held} since"
        for choice in choices
        if is_contested(choice.facts, spec, now_us)
    ]


def _stuck(choices: Sequence[Choice]) -> list[str]:
    found = []
    for choice in choices:
        if choice.facts.counted.stuck:
            name, nodes = choice.facts.spec.name, choice.facts.seen.unschedulable
            stuck = choice.facts.counted.stuck
            text = (
                f"{counted(stuck, 'pod')} of {name} should have started by now and "
                f"{does(stuck, 'does', 'do')} not count as capacity"
            )
            found.append(text + (f" ({nodes} of them on no node: none has room)" if nodes else ""))
    return found


def _stale(choices: Sequence[Choice]) -> Condition:
    asked = [choice for choice in choices if choice.facts.seen.fault_reason is not FaultReason.TAKEN]
    if not any(choice.facts.seen.ready or choice.facts.seen.signals.sources.expected for choice in asked):
        return Condition(
            type=ConditionType.SIGNALS_STALE,
            status="Unknown",
            reason=NOBODY_ASKED,
            message="no collector was asked: no pod of a stage is ready"
            if asked
            else "no collector was asked: every stage is another Pipeline's",
        )
    found = []
    for choice in asked:
        sources = choice.facts.seen.signals.sources
        if not choice.facts.fresh:
            told = answering(sources.answered, sources.expected, "answers", "answer")
            if not sources.expected:
                told = "none of its collectors has answered yet"
            text = f"{choice.facts.spec.name}: {told}"
            named = sources.ignored[: limits.MAX_IGNORED_NAMES]
            found.append(text + (f" ({', '.join(named)})" if named else ""))
    reason = "CollectorsSilent" if found else "EventUnknown"
    found += [
        f"{choice.facts.spec.name}: nobody has recorded {event}, so that its latency SLA cannot be judged; "
        f"recorded are {', '.join(choice.facts.seen.signals.events)}"
        for choice in asked
        if choice.facts.fresh
        for event in unknown_events(choice.facts.spec, choice.facts.seen.signals)
    ]
    return _some(ConditionType.SIGNALS_STALE, reason, "Fresh", found)
