"""How an event ended: the first that applies."""

from __future__ import annotations

from pipeline.messages import Decision, Fate, Fills, Outcome, Verdict

_REFUSED = (int(Verdict.DENIED), int(Verdict.FAILED))
_ORDERED = int(Verdict.ORDERED)


def outcome(fate: int, decision: Decision | None, fills: Fills | None) -> Outcome:
    """The outcome of one row; a tombstone's follows from its fate alone.

    `filled`: the event caused a fill, also of an order that rested before it. `placed`: it ordered
    something and orders rest. `rejected`: the event itself or a strategy's wish was refused, or a strategy
    failed, and nothing was placed. `held`: nothing to do.
    """
    if fate == Fate.EXPIRED:
        return Outcome.EXPIRED
    if fate == Fate.DEAD_LETTERED:
        return Outcome.DEAD_LETTERED
    if fills is not None and fills.fills:
        return Outcome.FILLED
    if decision is None:
        return Outcome.HELD
    if decision.rejected:
        return Outcome.REJECTED
    verdicts = [leg.verdict for leg in decision.legs]
    if _ORDERED in verdicts and fills is not None and fills.resting:
        return Outcome.PLACED
    return Outcome.REJECTED if any(verdict in _REFUSED for verdict in verdicts) else Outcome.HELD
