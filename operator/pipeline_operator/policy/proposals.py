"""What each SLA of a stage wants: replicas that serve, not yet limited by anything.

Rates are in thousandths of a message a second throughout.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipeline_operator import limits
from pipeline_operator.observation import SlaVerdict
from pipeline_operator.policy.facts import Facts
from pipeline_operator.policy.starts import start_limit_ms, typical_ms
from pipeline_operator.record import Proposal, SlaState
from pipeline_operator.spec import Tuning

PERSISTENT_S = 10
"""A lag that has not fallen for so long is not on its way down."""


class Load(NamedTuple):
    """What a stage is to bear: what comes in at the beginning of the pipeline, and what stages before it will
    send on top until their backlog is gone."""

    base_milli: int
    extra_milli: int = 0


def raises(facts: Facts, load: Load, tuning: Tuning, now_us: int) -> Iterator[Proposal]:
    """Proposals above what is counted on: one an SLA that is violated or about to be, one for the load to
    come.

    None from a stage without signals.
    """
    if not facts.heard:
        return
    for state in facts.slas:
        if state.verdict is SlaVerdict.VIOLATED or (state.name == "lag" and _soon(facts, state, tuning)):
            yield _for_sla(facts, state, load, tuning, now_us)
    ahead = _ahead(facts, load, tuning)
    if ahead is not None:
        yield ahead


def restored(facts: Facts) -> Proposal | None:
    """What there was before the release's own upgrade or rollback put the replicas down."""
    before, now = facts.seen.put_back_from, facts.seen.replicas
    if before is None or before <= now:
        return None
    why = f"an upgrade or rollback of the release put {before} back to {now}"
    return Proposal(name="restored", replicas=before, why=why)


def relief(facts: Facts, kept: Sequence[Facts], now_us: int) -> Proposal | None:
    """One more, for stages before it (`kept`) that violate an SLA, wait for this one, and have done so for
    seconds: it meets its own SLA and is what keeps them, so that nobody else would act.

    None while an earlier raise has not shown what it brings.
    """
    since_us = PERSISTENT_S * 1_000_000
    lasting = [one for one in kept if 0 < one.past.violated_since_us <= now_us - since_us]
    if not lasting or facts.counted.starting or now_us - facts.past.raised_us < since_us:
        return None
    one = lasting[0]
    why = f"{one.spec.name} has had its {said(one.violated[0])} for {PERSISTENT_S} s and waits for it"
    return Proposal(name="relief", replicas=facts.counted.replicas + 1, why=why)


def rate_text(milli: int) -> str:
    """Of thousandths of a message a second."""
    rate = milli / 1000
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"


def _soon(facts: Facts, state: SlaState, tuning: Tuning) -> bool:
    """The lag is past half its limit and will exceed it before a pod raised now is there."""
    if state.value is None or not facts.waiting or state.value * 2 < state.limit:
        return False
    start_ms = start_limit_ms(facts.past.starts_ms, tuning)
    return state.value + facts.lag_slope_per_mille * start_ms // 1000 > state.limit


def _for_sla(facts: Facts, state: SlaState, load: Load, tuning: Tuning, now_us: int) -> Proposal:
    if not facts.waiting:
        return _without_queue(facts, state)
    each = facts.capacity_milli or capacity_at_hand(facts)
    if each is None:
        return _blind(facts, state)
    drained_milli = load.extra_milli + drain_milli(facts, load.base_milli, each, tuning)
    replicas = -(-(load.base_milli + drained_milli) // each)
    why = (
        f"{said(state)}; a load of {rate_text(load.base_milli)} and {rate_text(drained_milli)} of backlog "
        f"at {rate_text(each)} a replica"
    )
    if _persists(facts, state, now_us):
        replicas = max(replicas, facts.counted.replicas + 1)
        why += f", no better for {PERSISTENT_S} s"
    return Proposal(name=state.name, replicas=max(1, replicas), why=why)


def _persists(facts: Facts, state: SlaState, now_us: int) -> bool:
    """What runs should suffice, but it is no better than seconds ago: keys may be spread unevenly."""
    if state.name != "lag":
        since_us = facts.past.violated_since_us
        return not facts.counted.starting and since_us > 0 and now_us - since_us >= PERSISTENT_S * 1_000_000
    lag_ms, recent = facts.seen.signals.lag_ms, facts.past.seconds[-PERSISTENT_S:]
    limit_ms = facts.spec.slas.lag_ms
    if lag_ms is None or limit_ms is None or facts.counted.starting or len(recent) < PERSISTENT_S:
        return False
    return all(limit_ms < second.lag_ms <= lag_ms for second in recent)


def drain_milli(facts: Facts, load_milli: int, each_milli: int, tuning: Tuning) -> int:
    """The rate at which the backlog is to go: what waits by now, and what will until new replicas are there.

    A lag of L seconds under a load of r is a backlog of r·L.
    """
    backlog_milli = load_milli * (facts.seen.signals.lag_ms or 0) // 1000
    lacking_milli = load_milli - facts.seen.ready * each_milli
    if lacking_milli > 0:
        started_ms = max((*facts.seen.starting_ms, 0))
        left_ms = max(0, typical_ms(facts.past.starts_ms, tuning) - started_ms)
        backlog_milli += lacking_milli * min(left_ms, tuning.drain_ms) // 1000
    return backlog_milli * 1000 // tuning.drain_ms


def capacity_at_hand(facts: Facts) -> int | None:
    """What a replica does right now, when nothing has been learned: its input waits, so it does what it
    can."""
    if facts.blocked or not facts.seen.ready or not facts.enough:
        return None
    return facts.handled_milli // facts.seen.ready or None


def _blind(facts: Facts, state: SlaState) -> Proposal:
    """Nothing is known of what a replica can do: one more, unless one is on its way."""
    more = 0 if facts.counted.starting else 1
    return Proposal(
        name=state.name,
        replicas=facts.counted.replicas + more,
        why=f"{said(state)}; {'the next one is starting' if not more else 'one more'}",
    )


def _without_queue(facts: Facts, state: SlaState) -> Proposal:
    """Too slow although nothing waits: by as much as it is too slow; whether that helps is seen
    afterwards."""
    if facts.counted.starting or state.value is None:
        why = f"{said(state)}; waiting for pods that start"
        return Proposal(name=state.name, replicas=facts.counted.replicas, why=why)
    replicas = -(-facts.seen.ready * state.value // max(1, state.limit))
    why = f"{said(state)} although no input waits"
    return Proposal(name=state.name, replicas=max(facts.counted.replicas + 1, replicas), why=why)


def _ahead(facts: Facts, load: Load, tuning: Tuning) -> Proposal | None:
    """For a load above the learned capacity, before any SLA is violated; noise is taken off first."""
    each = facts.capacity_milli
    if each is None or not (facts.enough or facts.waiting):
        return None
    noise_milli = limits.NOISE_SIGMAS * math.isqrt(load.base_milli * 1000)
    sure_milli = max(0, load.base_milli - noise_milli)
    most_milli = each * tuning.raise_use_per_mille // 1000
    replicas = max(-(-sure_milli // most_milli), -(-(sure_milli + load.extra_milli) // each))
    if replicas <= facts.counted.replicas:
        return None
    extra = f" and {rate_text(load.extra_milli)} of backlog from upstream" if load.extra_milli else ""
    why = f"a load of {rate_text(load.base_milli)}{extra} at {rate_text(each)} a replica"
    return Proposal(name="flow", replicas=replicas, why=why)


def said(state: SlaState) -> str:
    """`lag 2,400 ms above 1,000 ms`"""
    if state.value is None:
        return f"{state.name} unknown"
    where = "above" if state.value > state.limit else "of"
    if state.unit == "us":
        return f"{state.name} {state.value / 1000:,.1f} ms {where} {state.limit / 1000:,.0f} ms"
    return f"{state.name} {state.value:,} {state.unit} {where} {state.limit:,} {state.unit}"
