"""One solve for all stages in flow order: what is decided on a stage is load for those after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from pipeline_operator.policy.budget import Claim, share
from pipeline_operator.policy.facts import Facts, bottlenecks, culprits, load_of
from pipeline_operator.policy.judge import judged
from pipeline_operator.policy.limiters import Context, limited
from pipeline_operator.policy.lowering import lower
from pipeline_operator.policy.proposals import Load, capacity_at_hand, drain_milli, raises, relief, restored
from pipeline_operator.record import Effect, Proposal
from pipeline_operator.spec import PipelineSpec
from pipeline_operator.words import counted

FIXED = ("SignalsStale", "TargetFault", "WriteRefused", "Contested", "Paused")
"""Limiters whose word the budget respects."""


class Choice(Struct, frozen=True):
    """What became of one stage."""

    facts: Facts
    load: Load
    steady_milli: int
    """The load over five seconds, by which it may be lowered: a second's noise would count for a minute."""
    starved: bool
    """Stages before it hold messages up: what it sees is not the load."""
    proposals: tuple[Proposal, ...]
    wanted: int
    after: int
    effects: tuple[Effect, ...]


def solve(ordered: Sequence[Facts], spec: PipelineSpec, now_us: int) -> dict[str, Choice]:
    """A choice for every stage; `ordered` is in flow order."""
    facts_by_name = {facts.spec.name: facts for facts in ordered}
    ordered = [_judged(facts, facts_by_name, spec, now_us) for facts in ordered]
    context = Context(
        spec=spec,
        now_us=now_us,
        violations=tuple(sorted(facts.spec.name for facts in ordered if facts.violated)),
        bottlenecks=bottlenecks(facts_by_name),
    )
    choices: dict[str, Choice] = {}
    outflows: dict[str, Load] = {}
    for facts in ordered:
        name = facts.spec.name
        sent = [outflows[upstream] for upstream in facts.spec.upstream if upstream in outflows]
        ratio = facts.past.ratio_per_mille
        held_up = _held_up(facts, facts_by_name)
        load = Load(
            load_of(facts, sum(each.base_milli for each in sent) * ratio // 1000, held_up),
            sum(each.extra_milli for each in sent) * ratio // 1000,
        )
        steady = [choices[upstream].steady_milli for upstream in facts.spec.upstream if upstream in choices]
        steady_milli = load_of(facts, sum(steady) * ratio // 1000, held_up, steady=True)
        trying = any(p.name == "trial" for choice in choices.values() for p in choice.proposals)
        starved = held_up and not facts.waiting
        kept = [one for one in ordered if one.violated and name in culprits(one, facts_by_name)]
        choices[name] = _choose(facts, load, steady_milli, starved, trying, kept, context)
        outflows[name] = _outflow(choices[name], spec)
    return _within_budget(choices, spec)


def _judged(facts: Facts, by_name: Mapping[str, Facts], spec: PipelineSpec, now_us: int) -> Facts:
    past = judged(facts, _held_up(facts, by_name), spec.tuning, now_us) if facts.past.judged else facts.past
    return facts if past is facts.past else replace(facts, past=past)


def _choose(
    facts: Facts,
    load: Load,
    steady_milli: int,
    starved: bool,
    trying: bool,
    kept: Sequence[Facts],
    context: Context,
) -> Choice:
    """`trying`: a stage before it tries with one less; `kept`: those before it that violate an SLA and wait
    for this one."""
    tuning = context.spec.tuning
    replicas, stuck = facts.seen.replicas, facts.counted.stuck
    proposals: tuple[Proposal, ...] = ()
    if not facts.blocked:
        proposals = tuple(raises(facts, load, tuning, context.now_us))
        if not proposals and facts.waiting and (more := relief(facts, kept, context.now_us)) is not None:
            proposals = (more,)
        if starved:
            proposals = tuple(proposal for proposal in proposals if proposal.name == "flow")
        elif not proposals and (less := lower(facts, load.base_milli, tuning, context.now_us)) is not None:
            # One trial at a time, or what it teaches is no stage's.
            proposals = () if trying and less.name == "trial" else (less,)
    if (back := restored(facts)) is not None:
        proposals = (back, *(proposal for proposal in proposals if proposal.name not in ("lower", "trial")))
    most = max((proposal.replicas for proposal in proposals), default=replicas)
    falls = bool(proposals) and proposals[0].name in ("lower", "trial")
    # Stuck pods serve nothing: what is wanted is wanted besides them.
    asked = falls or back is not None or (bool(proposals) and most > facts.counted.replicas)
    wanted = most + stuck if asked else replicas
    after, effects = limited(facts, wanted, context)
    return Choice(facts, load, steady_milli, starved, proposals, wanted, after, effects)


def _held_up(facts: Facts, all_facts: Mapping[str, Facts]) -> bool:
    """Whether input waits for a stage before it, which is not waiting for this one."""
    seen: set[str] = set()
    todo = list(facts.spec.upstream)
    while todo:
        name = todo.pop()
        if name in seen or name not in all_facts:
            continue
        seen.add(name)
        stage = all_facts[name]
        if stage.waiting and not stage.blocked and stage.spec.upstream:
            return True
        todo += stage.spec.upstream
    return False


def _outflow(choice: Choice, spec: PipelineSpec) -> Load:
    """What the stage will send once this decision is carried out: its load and its backlog, as far as its
    replicas can."""
    facts, load = choice.facts, choice.load
    each = facts.capacity_milli or capacity_at_hand(facts)
    if not facts.spec.upstream or each is None:
        return load
    most_milli = max(choice.after - facts.counted.stuck, facts.seen.ready) * each
    base_milli = min(load.base_milli, most_milli)
    extra_milli = load.extra_milli
    if facts.waiting:
        extra_milli += drain_milli(facts, load.base_milli, each, spec.tuning)
    return Load(base_milli, min(extra_milli, most_milli - base_milli))


def _within_budget(choices: dict[str, Choice], spec: PipelineSpec) -> dict[str, Choice]:
    if spec.replica_budget is None or sum(choice.after for choice in choices.values()) <= spec.replica_budget:
        return choices
    claims = {name: _claim(choice, keep=True) for name, choice in choices.items()}
    if sum(claim.floor for claim in claims.values()) > spec.replica_budget:
        claims = {name: _claim(choice, keep=False) for name, choice in choices.items()}
    granted = share(claims, spec.replica_budget)
    return {name: _cut(choice, granted[name], spec.replica_budget) for name, choice in choices.items()}


def _claim(choice: Choice, *, keep: bool) -> Claim:
    """`keep`: nothing that runs is given up; else all above the minimum is, where anybody may lower it."""
    before = choice.facts.seen.replicas
    if not choice.facts.fresh or any(effect.limiter in FIXED for effect in choice.effects):
        return Claim(floor=min(before, choice.after), wanted=choice.after, fixed=choice.after <= before)
    floor = before if keep else choice.facts.spec.min_replicas
    return Claim(floor=min(floor, choice.after), wanted=choice.after)


def _cut(choice: Choice, granted: int, budget: int) -> Choice:
    if granted == choice.after:
        return choice
    effect = Effect(
        limiter="Budget",
        before=choice.after,
        after=granted,
        why=f"all stages together may have {counted(budget, 'replica')}",
    )
    return replace(choice, after=granted, effects=(*choice.effects, effect))
