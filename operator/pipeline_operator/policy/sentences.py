"""Why, in plain English with figures: a sentence a stage and one for the whole decision."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_operator.policy.proposals import said
from pipeline_operator.policy.slas import unknown_events
from pipeline_operator.policy.solve import Choice
from pipeline_operator.words import does


def stage_sentence(choice: Choice) -> str:
    """`agent 2 → 5: lag 2,400 ms above 1,000 ms; …`"""
    before = choice.facts.seen.replicas
    name = choice.facts.spec.name
    limited = "".join(
        f", held to {effect.after}: {effect.why} ({effect.limiter})" for effect in choice.effects
    )
    if choice.after != before:
        return f"{name} {before} → {choice.after}: {_reason(choice)}{limited}."
    if choice.wanted != before:
        wanted = f"{choice.wanted} {does(choice.wanted, 'is', 'are')} wanted"
        return f"{name} stays at {before}, although {wanted}: {_reason(choice)}{limited}."
    return f"{name} stays at {before}: {_quiet(choice)}."


def decision_sentence(choices: Sequence[Choice], mode: str) -> str:
    """The stages that change, or would; otherwise the most telling of those that stay."""
    changed = [choice for choice in choices if choice.after != choice.facts.seen.replicas]
    would = "Would change: " if changed and mode == "recommend" else ""
    held = [choice for choice in choices if choice.wanted != choice.facts.seen.replicas]
    troubled = [choice for choice in choices if choice.facts.violated]
    told = changed or held or troubled
    if not told:
        if len(choices) == 1:
            return "The one stage stays as it is: no SLA is violated."
        return f"All {len(choices)} stages stay as they are: no SLA is violated."
    return would + " ".join(map(stage_sentence, told))


def _reason(choice: Choice) -> str:
    if not choice.proposals:
        return choice.effects[-1].why if choice.effects else "nothing asks for a change"
    best = max(choice.proposals, key=lambda proposal: (proposal.replicas, proposal.name))
    return best.why


def _quiet(choice: Choice) -> str:
    facts = choice.facts
    if not facts.heard:
        return "no collector answers"
    troubles = ", ".join(map(said, facts.violated))
    if facts.blocked:
        return f"{troubles + ', but ' if troubles else ''}its output waits for the next stage"
    if choice.starved:
        return f"{troubles + ', but ' if troubles else ''}a stage before it holds messages up"
    if troubles and facts.counted.starting:
        starting = facts.counted.starting
        return f"{troubles}; {starting} of its pods {does(starting, 'is', 'are')} starting"
    if troubles:
        return f"{troubles}; what runs suffices for the load and its backlog"
    if unknown := unknown_events(facts.spec, facts.seen.signals):
        return f"no SLA is violated, but nobody has recorded {', '.join(unknown)}, which one is about"
    return "no SLA is violated"
