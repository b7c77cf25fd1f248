"""What stands between a wish and a decision: named limiters, applied in this order, each telling its
effect."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipeline_operator import limits
from pipeline_operator.policy.facts import Facts
from pipeline_operator.policy.judge import has_gained
from pipeline_operator.policy.trials import US_PER_MS, is_no_more, on_trial
from pipeline_operator.record import Effect
from pipeline_operator.spec import PipelineSpec
from pipeline_operator.words import answering, counted, does, duration


@dataclass(frozen=True, slots=True)
class Context:
    """What limiters look at besides the stage."""

    spec: PipelineSpec
    now_us: int
    violations: tuple[str, ...]
    """Stages with a violated SLA, in the whole pipeline."""
    bottlenecks: tuple[str, ...]


Limiter = Callable[[Facts, int, Context], tuple[int, str] | None]
"""The replicas that remain of a wish, and why; None when it has nothing to say."""


def limited(facts: Facts, wanted: int, context: Context) -> tuple[int, tuple[Effect, ...]]:
    """What is left of `wanted` replicas, and which limiters changed it."""
    effects = []
    back = facts.seen.put_back_from or 0
    for name, limiter in LIMITERS.items():
        outcome = limiter(facts, wanted, context)
        if outcome is not None and name in DOUBTS:
            outcome = max(outcome[0], min(wanted, back)), outcome[1]
        if outcome is not None and outcome[0] != wanted:
            effects.append(Effect(limiter=name, before=wanted, after=outcome[0], why=outcome[1]))
            wanted = outcome[0]
    return wanted, tuple(effects)


def _unlearned(facts: Facts, wanted: int, context: Context) -> tuple[int, str] | None:
    """A jump on a guess is bounded; on a learned capacity it is not."""
    if facts.capacity_milli is not None:
        return None
    per_mille = context.spec.tuning.unlearned_raise_per_mille
    most = max(facts.seen.replicas + 1, facts.seen.replicas * per_mille // 1000)
    if facts.counted.starting:
        most = facts.seen.replicas
    elif on_trial(facts.past) and is_no_more(facts.past):
        most = facts.seen.replicas + 1  # what ran before the trial
    if wanted <= most:
        return None
    return most, "what a replica can do is not known yet" + (
        "; pods are starting" if facts.counted.starting else ""
    )


def _low_count(facts: Facts, wanted: int, context: Context) -> tuple[int, str] | None:
    """Few messages prove little: one step, and only on a lag that lasts."""
    replicas = facts.seen.replicas
    if facts.enough or wanted <= replicas:
        return None
    limit = facts.spec.slas.lag_ms
    now_s = context.now_us // 1_000_000
    recent = [second for second in facts.past.seconds if now_s - second.at_s <= limits.LOW_COUNT_S]
    lasting = (
        limit is not None
        and len(recent) >= limits.LOW_COUNT_S
        and all(second.lag_ms > limit for second in recent)
    )
    if not lasting:
        return replicas, "too few messages within a second to prove anything"
    most = replicas if facts.counted.starting else replicas + 1
    return (most, "too few messages within a second: one step") if wanted > most else None


def _settling(facts: Facts, wanted: int, context: Context) -> tuple[int, str] | None:
    """While pods start, a little more is not asked for: most of it is noise, and would never be taken
    back."""
    replicas = facts.seen.replicas
    most = replicas + max(1, replicas * context.spec.tuning.settling_per_mille // 1000)
    if not facts.counted.starting or not replicas < wanted <= most:
        return None
    starting = facts.counted.starting
    return replicas, f"{counted(starting, 'pod')} {does(starting, 'is', 'are')} starting"


def _ineffective(facts: Facts, wanted: int, context: Context) -> tuple[int, str] | None:
    tuning, last = context.spec.tuning, facts.past.judged
    held_us = tuning.ineffective_hold_ms * US_PER_MS
    if wanted <= facts.seen.replicas:
        return None
    if (
        last is not None
        and last.ready_us is not None
        and facts.violated
        and not has_gained(facts, last, tuning)
    ):
        return facts.seen.replicas, "the last raise has brought nothing yet"
    if not facts.past.ineffective_us or context.now_us - facts.past.ineffective_us >= held_us:
        return None
    if facts.past.lowered_us > facts.past.ineffective_us:
        # All SLAs were met before it was lowered: what did not help then says nothing of another rise.
        return None
    return facts.seen.replicas, facts.past.ineffective_why


def _pods_stuck(facts: Facts, wanted: int, context: Context) -> tuple[int, str] | None:
    """More of what does not start helps nobody, unless other pods have started meanwhile."""
    if not facts.counted.stuck or wanted <= facts.seen.replicas:
        return None
    started_us = context.now_us if facts.seen.started_ms else facts.past.started_us
    oldest_ms = max((*facts.seen.starting_ms, 0))
    if started_us and started_us > context.now_us - oldest_ms * US_PER_MS:
        return None
    stuck = facts.counted.stuck
    return facts.seen.replicas, f"{counted(stuck, 'pod')} {does(stuck, 'does', 'do')} not start"


def _sla_violated(facts: Facts, wanted: int, context: Context) -> tuple[int, str] | None:
    if not context.violations or wanted >= facts.seen.replicas:
        return None
    verb = does(len(context.violations), "violates", "violate")
    return facts.seen.replicas, f"nothing is lowered while {', '.join(context.violations)} {verb} an SLA"


def _lower_hold(facts: Facts, wanted: int, context: Context) -> tuple[int, str] | None:
    changed_us = max(facts.past.raised_us, facts.past.lowered_us)
    hold_ms = context.spec.tuning.lower_hold_ms
    if wanted >= facts.seen.replicas or context.now_us - changed_us >= hold_ms * US_PER_MS:
        return None
    return facts.seen.replicas, f"changed less than {duration(hold_ms)} ago"


def _bounds(facts: Facts, wanted: int, context: Context) -> tuple[int, str] | None:
    spec = facts.spec
    if wanted > spec.max_replicas:
        return spec.max_replicas, f"maxReplicas is {spec.max_replicas}"
    if wanted < spec.min_replicas:
        return spec.min_replicas, f"minReplicas is {spec.min_replicas}"
    return None


def _stale(facts: Facts, wanted: int, context: Context) -> tuple[int, str] | None:
    """Not all signals are there: up by one step until they are back, never down."""
    if facts.fresh:
        return None
    replicas = facts.seen.replicas
    most = replicas if facts.past.stale_raise_us else replicas + 1
    after = min(max(wanted, replicas), max(most, min(facts.spec.min_replicas, wanted)))
    sources = facts.seen.signals.sources
    return after, answering(sources.answered, sources.expected, "answered", "answered")


def _write_refused(facts: Facts, wanted: int, context: Context) -> tuple[int, str] | None:
    """Not decided again and again while it cannot be carried out: stages after it must not count on it."""
    refused = facts.seen.refused
    if refused is None or not refused.waits or context.spec.mode != "active":
        return None
    return facts.seen.replicas, refused.message


def _contested(facts: Facts, wanted: int, context: Context) -> tuple[int, str] | None:
    if not is_contested(facts, context.spec, context.now_us):
        return None
    held = duration(context.spec.tuning.contested_hold_ms)
    return facts.seen.replicas, f"somebody else changed the replicas less than {held} ago"


def _target_fault(facts: Facts, wanted: int, context: Context) -> tuple[int, str] | None:
    return (facts.seen.replicas, facts.seen.fault) if facts.seen.fault else None


def _paused(facts: Facts, wanted: int, context: Context) -> tuple[int, str] | None:
    return (facts.seen.replicas, "the mode is paused") if context.spec.mode == "paused" else None


def foreign_us(facts: Facts) -> int:
    """When somebody else last changed the replicas; 0 for never."""
    return max(facts.past.foreign_us, facts.seen.foreign_us or 0)


def is_contested(facts: Facts, spec: PipelineSpec, now_us: int) -> bool:
    at_us = foreign_us(facts)
    return at_us > 0 and now_us - at_us < spec.tuning.contested_hold_ms * US_PER_MS


LIMITERS: dict[str, Limiter] = {
    "Unlearned": _unlearned,
    "LowCount": _low_count,
    "Settling": _settling,
    "Ineffective": _ineffective,
    "PodsStuck": _pods_stuck,
    "SlaViolated": _sla_violated,
    "LowerHold": _lower_hold,
    "Bounds": _bounds,
    "SignalsStale": _stale,
    "TargetFault": _target_fault,
    "WriteRefused": _write_refused,
    "Contested": _contested,
    "Paused": _paused,
}
"""Name → rule. Later ones have the last word."""


DOUBTS = frozenset({"Unlearned", "LowCount", "Settling", "Ineffective", "SignalsStale"})
"""What they hold back is a guess; what there was a moment ago is none."""


def names() -> Iterable[str]:
    """Of all limiters, the budget's included."""
    return (*LIMITERS, "Budget")
