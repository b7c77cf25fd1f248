"""What is kept of a tick for the next ones."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from pipeline_operator import limits
from pipeline_operator.memory import Capacity, Second, StageMemory
from pipeline_operator.policy.capacity import sample, shown
from pipeline_operator.policy.facts import Facts
from pipeline_operator.policy.judge import raised
from pipeline_operator.policy.limiters import foreign_us
from pipeline_operator.policy.solve import Choice
from pipeline_operator.policy.trials import taken_back
from pipeline_operator.spec import Tuning


def remembered(
    choice: Choice, choices: Mapping[str, Choice], tuning: Tuning, written: int | None, now_us: int
) -> StageMemory:
    """The stage's next memory; `written` are the replicas that were written, None when none were."""
    facts, past, seen = choice.facts, choice.facts.past, choice.facts.seen
    saturated = facts.fresh and facts.waiting and not facts.blocked
    waiting_since_us = (past.waiting_since_us or now_us) if saturated else 0
    ready_since_us = past.ready_since_us if past.ready == seen.ready and past.ready_since_us else now_us
    is_raise = written is not None and written > seen.replicas
    is_trial = written is not None and written < seen.replicas and _is_trial(choice)
    settled_us = min(now_us - waiting_since_us, now_us - ready_since_us)
    capacity = _capacity(choice, tuning, settled_us, now_us)
    if is_raise:
        capacity = taken_back(past, capacity, choice.steady_milli, seen.replicas, tuning, now_us)
    return structs.replace(
        past,
        seconds=_seconds(facts, choice, now_us),
        capacity=capacity,
        ratio_per_mille=_ratio(choice, choices, now_us),
        starts_ms=(*past.starts_ms, *seen.started_ms)[-limits.MAX_STARTS :],
        started_us=now_us if seen.started_ms else past.started_us,
        ready=seen.ready,
        ready_since_us=ready_since_us,
        waiting_since_us=waiting_since_us,
        violated_us=now_us if facts.violated else past.violated_us,
        violated_since_us=(past.violated_since_us or now_us) if facts.violated else 0,
        raised_us=now_us if is_raise else past.raised_us,
        lowered_us=now_us if written is not None and written < seen.replicas else past.lowered_us,
        trial_us=now_us if is_trial else past.trial_us,
        trial_milli=max((second.load_milli for second in past.seconds), default=0)
        if is_trial
        else past.trial_milli,
        foreign_us=foreign_us(facts),
        stale_raise_us=0 if facts.fresh else now_us if is_raise else past.stale_raise_us,
        judged=raised(facts, written, now_us) if is_raise and written is not None else past.judged,
    )


def _is_trial(choice: Choice) -> bool:
    return any(proposal.name == "trial" for proposal in choice.proposals)


def _peak_milli(past: StageMemory) -> int:
    return max((second.load_milli for second in past.seconds), default=0)


def _seconds(facts: Facts, choice: Choice, now_us: int) -> tuple[Second, ...]:
    """The history with this tick. Nothing is added without signals: a minute with gaps is no minute."""
    now_s = now_us // 1_000_000
    kept = facts.past.seconds
    while kept and kept[0].at_s <= now_s - limits.HISTORY_S:
        kept = kept[1:]
    while kept and kept[-1].at_s > now_s:  # the clock was set back
        kept = kept[:-1]
    if not facts.fresh:
        return kept
    load_milli = choice.steady_milli
    lag_ms = facts.seen.signals.lag_ms or 0
    if kept and kept[-1].at_s == now_s:
        last = kept[-1]
        if load_milli <= last.load_milli and lag_ms <= last.lag_ms:
            return kept
        last = Second(now_s, max(load_milli, last.load_milli), max(lag_ms, last.lag_ms))
        return (*kept[:-1], last)
    return (*kept, Second(now_s, load_milli, lag_ms))


def _capacity(choice: Choice, tuning: Tuning, settled_us: int, now_us: int) -> Capacity:
    """`settled_us`: since when the stage has been saturated with the same replicas."""
    facts = choice.facts
    capacity = facts.past.capacity
    if capacity.revision != facts.seen.revision:
        capacity = Capacity(revision=facts.seen.revision)
    if not facts.fresh or facts.blocked or not facts.seen.ready:
        return capacity
    since_us, least_milli = now_us - capacity.sampled_us, tuning.raise_min_count * 1000
    if facts.waiting:
        rate_milli, settled_least_us, since_least_us = _rate_to_sample(facts, least_milli)
        if rate_milli and settled_us >= settled_least_us and since_us >= since_least_us:
            return sample(capacity, rate_milli // facts.seen.ready, now_us)
        return capacity
    if now_us - facts.past.ready_since_us >= limits.SHOWN_WINDOW_US:
        return shown(capacity, facts.steady_milli // facts.seen.ready)
    return capacity


def _rate_to_sample(facts: Facts, least_milli: int) -> tuple[int, int, int]:
    """The stage's rate, and how long it must have been saturated and not sampled for it to count; 0: too
    little is handled. Slow work takes five seconds to tell what one cannot."""
    if facts.handled_milli >= least_milli:
        return facts.handled_milli, limits.LEARN_WINDOW_US, limits.SAMPLE_EVERY_US
    if facts.steady_milli * 5 >= least_milli:
        return facts.steady_milli, limits.SHOWN_WINDOW_US, limits.SHOWN_WINDOW_US
    return 0, 0, 0


def _ratio(choice: Choice, choices: Mapping[str, Choice], now_us: int) -> int:
    """Learned over quiet minutes only: what waits between two stages would be missing."""
    facts, past = choice.facts, choice.facts.past
    upstream = [choices[name].facts for name in facts.spec.upstream if name in choices]
    if not upstream or facts.waiting or facts.blocked or not facts.fresh:
        return past.ratio_per_mille
    if len(past.seconds) < limits.HISTORY_S - 2 or now_us - past.violated_us < limits.HISTORY_S * 1_000_000:
        return past.ratio_per_mille
    sent = sum(stage.seen.signals.window(60_000).handled for stage in upstream)
    if sent < limits.LEAST_FOR_RATIO:
        return past.ratio_per_mille
    return min(facts.seen.signals.window(60_000).handled * 1000 // sent, limits.MOST_RATIO_PER_MILLE)
