"""A trial of one replica less: how a stage shrinks of which it is not known what a replica can do.

A trial that has to be taken back teaches that so much load a replica is too much, and is not repeated under
such a load: a constant load would be answered by a breach every few minutes.
"""

from __future__ import annotations

from msgspec import structs

from pipeline_operator import limits
from pipeline_operator.memory import Capacity, StageMemory
from pipeline_operator.policy.facts import Facts
from pipeline_operator.record import Proposal
from pipeline_operator.spec import Tuning

US_PER_MS = 1_000
US_PER_S = 1_000_000


def trial(facts: Facts, peak_milli: int, tuning: Tuning, now_us: int) -> Proposal | None:
    """One less; None when the last change is too fresh, or when it is known that this is too few.

    `peak_milli` is the highest load of the last minute.
    """
    if now_us - max(facts.past.raised_us, facts.past.lowered_us) < tuning.trial_hold_ms * US_PER_MS:
        return None
    less = facts.counted.replicas - 1
    if _is_refuted(facts.past.capacity, facts.seen.revision, peak_milli // less, now_us):
        return None
    return Proposal(
        name="trial",
        replicas=less,
        why="every SLA met at half its limit for a minute, and what a replica can do is not known",
    )


def on_trial(past: StageMemory) -> bool:
    """Whether a trial was the last change."""
    return past.trial_us > past.raised_us and past.trial_us == past.lowered_us


def is_no_more(past: StageMemory) -> bool:
    """Whether the load is what it was before the trial, so that what ran then suffices."""
    load_milli = past.seconds[-1].load_milli if past.seconds else 0
    return load_milli * 1000 <= past.trial_milli * limits.SAME_LOAD_PER_MILLE


def taken_back(
    past: StageMemory, capacity: Capacity, load_milli: int, replicas: int, tuning: Tuning, now_us: int
) -> Capacity:
    """What is known after a raise of so many `replicas` under a load of `load_milli`."""
    if not on_trial(past) or now_us - past.trial_us > tuning.trial_hold_ms * US_PER_MS:
        return capacity
    if is_no_more(past):  # the moment of the raise is one of the higher ones of a constant load
        loads = [second.load_milli for second in past.seconds]
        load_milli = min(load_milli, sum(loads) // max(1, len(loads)))
    each_milli = load_milli // max(1, replicas)
    if capacity.refuted_milli and _is_believed(capacity, now_us):
        each_milli = min(each_milli, capacity.refuted_milli)
    return structs.replace(capacity, refuted_milli=max(1, each_milli), refuted_us=now_us)


def _is_refuted(capacity: Capacity, revision: str, each_milli: int, now_us: int) -> bool:
    """Loads within noise of one that was too much are too much as well."""
    if not capacity.refuted_milli or capacity.revision != revision or not _is_believed(capacity, now_us):
        return False
    return each_milli * 1000 >= capacity.refuted_milli * limits.REFUTED_PER_MILLE


def _is_believed(capacity: Capacity, now_us: int) -> bool:
    return now_us - capacity.refuted_us < limits.REFUTED_S * US_PER_S
