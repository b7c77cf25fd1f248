"""How far a stage may shrink: on the last minute, and only to where the lower bound of what is known
suffices."""

from __future__ import annotations

from pipeline_operator import limits
from pipeline_operator.observation import SlaVerdict
from pipeline_operator.policy.facts import Facts
from pipeline_operator.policy.proposals import rate_text
from pipeline_operator.policy.slas import minute_states
from pipeline_operator.policy.trials import trial
from pipeline_operator.record import Proposal
from pipeline_operator.spec import Tuning

MARGIN = 2
"""A trial reduction wants every SLA met at half its limit."""


def lower(facts: Facts, load_milli: int, tuning: Tuning, now_us: int) -> Proposal | None:
    """The least that the minute's highest load allows; None when there is nothing to lower or no telling."""
    now = facts.counted.replicas
    seconds = facts.past.seconds
    if now <= 1 or facts.waiting or len(seconds) < limits.HISTORY_S - 2:
        return None
    states = minute_states(facts.spec, facts.seen.signals, seconds, tuning.raise_min_count)
    if any(state.verdict is SlaVerdict.VIOLATED for state in states):
        return None
    peak_milli = max(load_milli, *(second.load_milli for second in seconds))
    each = facts.capacity_low_milli or facts.shown_milli
    if each:
        replicas = max(1, -(-peak_milli * 1000 // (each * tuning.lower_use_per_mille)))
        if replicas < now:
            return Proposal(
                name="lower",
                replicas=replicas,
                why=f"at most {rate_text(peak_milli)} in a minute, at least {rate_text(each)} a replica",
            )
    if facts.capacity_low_milli is not None:
        return None
    return trial(facts, peak_milli, tuning, now_us) if _comfortable(facts, tuning) else None


def _comfortable(facts: Facts, tuning: Tuning) -> bool:
    """Every SLA that says anything is met at half its limit."""
    states = minute_states(facts.spec, facts.seen.signals, facts.past.seconds, 1)
    if any(state.value is not None and state.value * MARGIN > state.limit for state in states):
        return False
    # Busy workers are no reason to try with fewer; idle ones prove nothing, as they may wait for others.
    cpu, now = facts.seen.signals.cpu_per_mille, facts.counted.replicas
    return cpu is None or cpu * now <= tuning.lower_use_per_mille * (now - 1)
