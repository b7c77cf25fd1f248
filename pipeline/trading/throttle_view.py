"""What people and the baseline report see of a throttle: one payload a scope.

Display only: money is decimal text, utilisations are ratios rounded to six digits, times ISO 8601 with an
offset; nothing here is ever read back into a decision.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.trading.decimals import decimal_text
from pipeline.trading.reasons import Reason, code_of
from pipeline.trading.scopes import LEAST_NOTIONAL, LastSeen
from pipeline.trading.throttle import OFF, Answer, Budget, Rule, judge
from pipeline.trading.throttle_memory import ScopeState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def throttle_snapshot(
    rule: Rule, scope: ScopeState, now_us: int, *, strategy_id: str | None, symbol: str
) -> dict[str, Any]:
    """The payload of one throttle in one scope as of `now_us`; None stands for "not limited", and for all
    strategies."""
    answer = judge((rule,), scope, now_us, LEAST_NOTIONAL)
    (budget,) = answer.budgets
    return _payload(rule, answer, budget, strategy_id, symbol)


def wide_snapshot(seen: LastSeen, rule: Rule, strategy_id: str | None) -> dict[str, Any]:
    """The payload of a scope wider than a key, as it was when it was last asked (`as_of`) by the strategy
    `asked_by`, whose `rule` it is; its strategy is None where it counts all."""
    answer = Answer(seen.reasons, seen.at_us + seen.wait_us if seen.wait_us else 0, ())
    budget = Budget(seen.used_trades, rule.max_trades, seen.used_notional, rule.max_notional)
    asked = {"as_of": iso_time(seen.at_us), "asked_by": seen.strategy or None}
    return _payload(rule, answer, budget, strategy_id, None) | asked


def _payload(
    rule: Rule, answer: Answer, budget: Budget, strategy_id: str | None, symbol: str | None
) -> dict[str, Any]:
    trades, notional = budget.max_trades != OFF, budget.max_notional != OFF
    remembered = notional and not trades
    return {
        "name": rule.name,
        "scope": {"strategy_id": strategy_id, "symbol": symbol},
        "state": _state(answer.reasons),
        "message": _message(rule, answer.reasons),
        "reasons": list(answer.reasons),
        "retry_at": iso_time(answer.retry_at_us) if answer.retry_at_us else None,
        "max_trades": budget.max_trades if trades else None,
        "used_trades": budget.used_trades if trades else None,
        "remaining_trades": max(budget.remaining_trades, 0) if trades else None,
        "window_utilisation": _ratio(budget.used_trades, budget.max_trades) if trades else None,
        "throttle_consumed_notional": _money(rule, budget.used_notional) if notional else None,
        "throttle_remaining_notional": _money(rule, max(budget.remaining_notional, 0)) if notional else None,
        "throttle_notional_utilisation": (
            _ratio(budget.used_notional, budget.max_notional) if notional else None
        ),
        # Where nobody limits the trades, what is remembered of them does.
        "memory_used_trades": budget.used_trades if remembered else None,
        "memory_max_trades": rule.room if remembered else None,
    }


def iso_time(time_us: int) -> str:
    """Microseconds since the epoch as ISO 8601 in UTC, offset included."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat()


def span_text(seconds: int) -> str:
    """`60` → "1 minute", `90` → "90 seconds": the largest unit that divides it."""
    for size, unit in _UNITS:
        if seconds >= size and seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return "0 seconds"


def _state(reasons: tuple[str, ...]) -> str:
    codes = {code_of(reason) for reason in reasons}
    if Reason.THROTTLE_HALTED in codes:
        return "halted"
    if codes - {Reason.THROTTLE_COOLDOWN}:
        return "rate_limited"
    return "cooling_down" if codes else "open"


def _message(rule: Rule, reasons: tuple[str, ...]) -> str:
    return "; ".join(_sentence(rule, code_of(reason)) for reason in reasons)


def _sentence(rule: Rule, code: str) -> str:
    window = span_text(rule.window_us // 1_000_000)
    if code == Reason.THROTTLE_HALTED:
        return "Halted: the throttle's multiplier is 0"
    if code == Reason.THROTTLE_WINDOW:
        plural = "" if rule.room == 1 else "s"
        return f"Throttled: too many trades in short time (limit {rule.room} trade{plural} per {window})"
    if code == Reason.THROTTLE_MEMORY:
        return f"Throttled: {rule.room} trades per {window} are remembered to count their notional, no more"
    if code == Reason.THROTTLE_NOTIONAL:
        most = _money(rule, rule.max_notional)
        return f"Throttled: too much notional in short time (limit {most} per {window})"
    if code == Reason.THROTTLE_SPACING:
        return f"Throttled: entries need {span_text(rule.spacing_us // 1_000_000)} between them"
    return f"Cooling down: {span_text(rule.cooldown_us // 1_000_000)} after an exit"


def _ratio(used: int, limit: int) -> float:
    return round(used / limit, 6) if limit else 1.0


def _money(rule: Rule, amount: int) -> str:
    return decimal_text(amount, rule.money_scale)
