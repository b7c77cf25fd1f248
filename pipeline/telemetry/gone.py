"""Workers and stages that have no ring any more: the newest are told apart, older ones are added up.

A name that is used once, such as one with a pid in it, would otherwise keep its counters and series for ever.
Of more gone workers than MAX_GONE_WORKERS the counters of the oldest are added to those of `STAGE (gone)`,
and of more gone stages than MAX_GONE_STAGES all that the oldest have to those of `(gone)`. No sum over
workers or stages changes by that, neither in total nor in a window.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pipeline import limits
from pipeline.telemetry.aggregate import Aggregate
from pipeline.telemetry.counters import LOST, OTHERS, CounterKey
from pipeline.telemetry.events import GONE, OTHER_EVENT, STAGES, gone_of, split_worker


class Gone:
    """Who is gone, the longest ago first."""

    def __init__(self) -> None:
        self._workers: dict[str, None] = {}
        self._stages: dict[str, None] = {}

    def note(self, worker: str, stage: str) -> None:
        """A ring of this worker has ended."""
        for known, name in ((self._workers, worker), (self._stages, stage)):
            known.pop(name, None)
            known[name] = None

    def add_up(self, aggregate: Aggregate, living: Collection[str]) -> None:
        """Add up the oldest where there are too many. `living`: workers that have a ring now.

        Twice as many as are kept may be there before it is done, so that each costs little.
        """
        workers = _oldest(self._workers, set(living), limits.MAX_GONE_WORKERS)
        if workers:
            _add_up_workers(aggregate, workers)
        stages = {split_worker(name)[0] for name in living} | set(STAGES)
        if oldest := _oldest(self._stages, stages, limits.MAX_GONE_STAGES):
            _add_up_stages(aggregate, oldest)


def _oldest(known: dict[str, None], living: set[str], kept: int) -> set[str]:
    """Those of `known` that are too many; they are forgotten, like those that have come back."""
    if len(known) <= 2 * kept:
        return set()
    for name in living & known.keys():
        del known[name]
    oldest = list(known)[: max(0, len(known) - kept)]
    for name in oldest:
        del known[name]
    return set(oldest)


def _add_up_workers(aggregate: Aggregate, workers: set[str]) -> None:
    keys = [key for key, _ in aggregate.counters.totals() if key.subject in workers and key.event_id != LOST]
    aggregate.counters.add_up(_targets(keys, aggregate, {key: gone_of(key.subject) for key in keys}))


def _add_up_stages(aggregate: Aggregate, stages: set[str]) -> None:
    keys = [
        key
        for key, _ in aggregate.counters.totals()
        if key.subject not in (OTHERS, GONE) and split_worker(key.subject)[0] in stages
    ]
    aggregate.counters.add_up(_targets(keys, aggregate, dict.fromkeys(keys, GONE)))
    aggregate.add_up_groups(stages)


def _targets(
    keys: Iterable[CounterKey], aggregate: Aggregate, subjects: dict[CounterKey, str]
) -> dict[CounterKey, CounterKey]:
    """What each counter is added to; one for all events that there is no room to tell apart."""
    kept: dict[str, set[CounterKey]] = {}
    for key, _ in aggregate.counters.totals():
        kept.setdefault(key.subject, set()).add(key)
    found = {}
    for key in keys:
        target = key._replace(subject=subjects[key])
        known = kept.setdefault(target.subject, set())
        if target not in known and len(known) >= limits.MAX_GONE_EVENTS and key.event_id != LOST:
            target = CounterKey(target.subject, OTHER_EVENT)
        known.add(target)
        found[key] = target
    return found
