"""What trade throttles said about a decision, in the words of a baseline report."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.config import schema
from pipeline.messages import Decision, Verdict
from pipeline.performance.manager import COOLING_DOWN, HALTED, OPEN, RATE_LIMITED, Trade
from pipeline.trading.reasons import Reason, code_of
from pipeline.trading.throttle_view import iso_time, span_text

_THROTTLES = "THROTTLE_"


class Denial(NamedTuple):
    """`ordered` says whether anything was; the rest is as in `performance.manager.Submission`."""

    ordered: bool
    reasons: tuple[str, ...] = ()
    state: str = OPEN
    message: str = ""
    retry_at: str | None = None


def denial_of(decision: Decision) -> Denial:
    """What became of a decision's entries."""
    reasons = tuple(reason for leg in decision.legs for reason in leg.reasons)
    if decision.rejected:
        reasons = (decision.rejected, *reasons)
    throttled = [reason for reason in reasons if reason.startswith(_THROTTLES)]
    retry_at_us = max((leg.retry_at_us for leg in decision.legs), default=0)
    return Denial(
        ordered=any(leg.verdict == Verdict.ORDERED for leg in decision.legs),
        reasons=reasons,
        state=_state({code_of(reason) for reason in throttled}),
        message="; ".join(map(sentence, throttled)),
        retry_at=iso_time(retry_at_us) if retry_at_us else None,
    )


def sentence(reason: str) -> str:
    """One reason of a throttle in words; of a kind unknown here the reason itself."""
    code = code_of(reason)
    facts = dict(word.partition("=")[::2] for word in reason.partition(": ")[2].split())
    seconds = next((int(facts[name]) for name in facts if name.endswith("_seconds")), 0)
    if code == Reason.THROTTLE_WINDOW:
        plural = "" if facts["limit"] == "1" else "s"
        limit = f"{facts['limit']} trade{plural} per {span_text(seconds)}"
        return f"Throttled: too many trades in short time (limit {limit})"
    if code == Reason.THROTTLE_MEMORY:
        remembered = f"{facts['remembered']} trades per {span_text(seconds)}"
        return f"Throttled: {remembered} are remembered to count their notional, no more"
    if code == Reason.THROTTLE_NOTIONAL:
        limit = f"{facts['limit']} per {span_text(seconds)}"
        return f"Throttled: too much notional in short time (limit {limit})"
    if code == Reason.THROTTLE_SPACING:
        return f"Throttled: entries need {span_text(seconds)} between them"
    if code == Reason.THROTTLE_COOLDOWN:
        return f"Cooling down: {span_text(seconds)} after an exit"
    if code == Reason.THROTTLE_HALTED:
        return "Halted: the throttle's multiplier is 0"
    if code == Reason.THROTTLE_UNKNOWN:
        return "Throttled: the store that counts the wide throttles gave no answer"
    return reason


def throttle_settings(throttles: tuple[schema.Throttle, ...], trade: Trade) -> dict[str, object] | None:
    """The settings of the first throttle that meets this scope; None: none does."""
    for throttle in throttles:
        scope = throttle.scope
        if scope.strategy_id in (None, trade.strategy_id) and scope.symbol in (None, trade.symbol):
            return {
                "name": throttle.name,
                "max_trades": throttle.max_trades,
                "window_seconds": throttle.window_seconds,
                "cooldown_seconds": throttle.cooldown_seconds,
                "min_spacing_seconds": throttle.min_spacing_seconds,
                "max_notional": throttle.max_notional,
                "multiplier": throttle.multiplier,
                "scope": {"strategy_id": scope.strategy_id, "symbol": scope.symbol},
            }
    return None


def _state(codes: set[str]) -> str:
    if not codes:
        return OPEN
    if Reason.THROTTLE_HALTED in codes:
        return HALTED
    return RATE_LIMITED if codes - {Reason.THROTTLE_COOLDOWN} else COOLING_DOWN
