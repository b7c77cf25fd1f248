"""Was the last raise of a stage worth it? Judged before anything else is decided on the stage."""

from __future__ import annotations

from msgspec import structs

from pipeline_operator.memory import Raise, StageMemory
from pipeline_operator.policy.facts import Facts
from pipeline_operator.policy.proposals import rate_text
from pipeline_operator.policy.trials import US_PER_MS
from pipeline_operator.spec import Tuning
from pipeline_operator.words import counted


def raised(facts: Facts, to_replicas: int, now_us: int) -> Raise:
    """A raise to be judged. Later ones do not begin it anew, or nothing would ever be judged."""
    return facts.past.judged or Raise(
        at_us=now_us,
        from_replicas=max(1, facts.seen.ready),
        to_replicas=to_replicas,
        handled_milli=facts.steady_milli,
        worst_per_mille=worst_per_mille(facts),
    )


def judged(facts: Facts, held_up: bool, tuning: Tuning, now_us: int) -> StageMemory:
    """The stage's memory with its last raise judged, if that is due.

    `held_up`: stages before it hold messages up, so that nothing can be said of its own raise.
    """
    past, last = facts.past, facts.past.judged
    if last is None or not facts.fresh:
        return past
    if last.ready_us is None:
        if facts.seen.ready >= last.to_replicas:
            return structs.replace(past, judged=structs.replace(last, ready_us=now_us))
        # What never gets ready is PodsStuck's to tell; a raise that was taken back is none.
        return past if facts.seen.replicas >= last.to_replicas else structs.replace(past, judged=None)
    if now_us - last.ready_us < tuning.ineffective_after_ms * US_PER_MS:
        return past
    if not facts.violated or facts.blocked or held_up or has_gained(facts, last, tuning):
        return structs.replace(past, judged=None)
    why = (
        f"from {last.from_replicas} to {counted(facts.seen.ready, 'replica')} brought "
        f"{rate_text(max(0, _gain(facts, last)))} of {rate_text(_promise(facts, last))} expected"
    )
    return structs.replace(past, judged=None, ineffective_us=now_us, ineffective_why=why)


def has_gained(facts: Facts, last: Raise, tuning: Tuning) -> bool:
    """By a fair share: of the throughput that was promised, or of what its SLAs were violated by."""
    share = tuning.ineffective_gain_per_mille
    if worst_per_mille(facts) * 1000 <= last.worst_per_mille * (1000 - share):
        return True
    return _gain(facts, last) * 1000 >= _promise(facts, last) * share


def worst_per_mille(facts: Facts) -> int:
    """The worst of the violated SLAs, of its limit; 0 without any."""
    return max(
        (state.value * 1000 // max(1, state.limit) for state in facts.violated if state.value), default=0
    )


def _gain(facts: Facts, last: Raise) -> int:
    return max(facts.handled_milli, facts.steady_milli) - last.handled_milli


def _promise(facts: Facts, last: Raise) -> int:
    """As many times the throughput as there are replicas."""
    return last.handled_milli * max(1, facts.seen.ready - last.from_replicas) // last.from_replicas
