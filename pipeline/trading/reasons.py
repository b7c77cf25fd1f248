"""Every reason code that a decision can carry: `CATEGORY_CONDITION: key=value key=value`.

The text is part of the decision, so it holds nothing but what the decision depended on. Amounts are
decimal text, times end in `_us` (microseconds since the epoch) or `_seconds`.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The codes; the meaning of each is in `MEANINGS`, from which the documentation's table is drawn."""

    CANDLE_STALE = "CANDLE_STALE"
    CANDLE_OVERFLOW = "CANDLE_OVERFLOW"
    SIGNAL_UNPRICED = "SIGNAL_UNPRICED"
    CONTROL_UNKNOWN = "CONTROL_UNKNOWN"
    RISK_HALTED = "RISK_HALTED"
    RISK_MAX_NOTIONAL = "RISK_MAX_NOTIONAL"
    RISK_MAX_POSITION = "RISK_MAX_POSITION"
    RISK_MAX_QUANTITY = "RISK_MAX_QUANTITY"
    RISK_MAX_ORDER = "RISK_MAX_ORDER"
    RISK_PRICE_COLLAR = "RISK_PRICE_COLLAR"
    RISK_DAILY_LOSS = "RISK_DAILY_LOSS"
    RISK_SESSION = "RISK_SESSION"
    RISK_MAX_ORDERS = "RISK_MAX_ORDERS"
    RISK_MAX_STRATEGIES = "RISK_MAX_STRATEGIES"
    THROTTLE_HALTED = "THROTTLE_HALTED"
    THROTTLE_WINDOW = "THROTTLE_WINDOW"
    THROTTLE_MEMORY = "THROTTLE_MEMORY"
    THROTTLE_NOTIONAL = "THROTTLE_NOTIONAL"
    THROTTLE_SPACING = "THROTTLE_SPACING"
    THROTTLE_COOLDOWN = "THROTTLE_COOLDOWN"
    THROTTLE_UNKNOWN = "THROTTLE_UNKNOWN"
    STRATEGY_RAISED = "STRATEGY_RAISED"
    STRATEGY_NONSENSE = "STRATEGY_NONSENSE"
    STRATEGY_OVERLONG = "STRATEGY_OVERLONG"
    STRATEGY_HUNG = "STRATEGY_HUNG"


MEANINGS: dict[Reason, str] = {
    Reason.CANDLE_STALE: "the candle is not later than the last one of its symbol",
    Reason.CANDLE_OVERFLOW: "at this price the open position's value would exceed the limit of exact amounts",
    Reason.SIGNAL_UNPRICED: "the signal names no price and no close is known for its symbol",
    Reason.CONTROL_UNKNOWN: "this version does not know the control's action",
    Reason.RISK_HALTED: "trading is halted; exits pass",
    Reason.RISK_MAX_NOTIONAL: "highest price × largest quantity would exceed the limit of exact amounts",
    Reason.RISK_MAX_POSITION: "the position would exceed risk.max_position or the limit of exact quantities",
    Reason.RISK_MAX_ORDER: "the entry is larger than risk.max_order",
    Reason.RISK_PRICE_COLLAR: "the price is further from the last close than risk.price_collar_percent",
    Reason.RISK_DAILY_LOSS: "the symbol has lost risk.max_daily_loss or more today (UTC)",
    Reason.RISK_SESSION: "the instrument's session is not open",
    Reason.RISK_MAX_QUANTITY: "the signal asks for more than trading.max_signal_quantity",
    Reason.RISK_MAX_ORDERS: "too many orders of this symbol wait for its next candle",
    Reason.RISK_MAX_STRATEGIES: "too many strategies have a position or a throttle's memory in this symbol",
    Reason.THROTTLE_HALTED: "the throttle's multiplier is 0",
    Reason.THROTTLE_WINDOW: "the window holds as many entries as it may",
    Reason.THROTTLE_MEMORY: "the window holds as many entries as are remembered for max_notional",
    Reason.THROTTLE_NOTIONAL: "the window's entries and this one would exceed max_notional",
    Reason.THROTTLE_SPACING: "the last entry is less than min_spacing_seconds ago",
    Reason.THROTTLE_COOLDOWN: "the last exit is less than cooldown_seconds ago",
    Reason.THROTTLE_UNKNOWN: "the scope store that counts a wide throttle gave no answer; exits pass",
    Reason.STRATEGY_RAISED: "the strategy raised; its memory stays as it was",
    Reason.STRATEGY_NONSENSE: "the strategy answered what is no memory and intent; its memory stays",
    Reason.STRATEGY_OVERLONG: "the strategy's step took more instructions than it may; its memory stays",
    Reason.STRATEGY_HUNG: "the strategy's step hung more than once; it is not called until its code changes",
}


def describe(code: Reason, **facts: object) -> str:
    """`describe(Reason.RISK_HALTED, by="halt")` → `RISK_HALTED: by=halt`."""
    return f"{code.value}: " + " ".join(f"{name}={value}" for name, value in facts.items())


def code_of(text: str) -> str:
    """The code of a reason's text, for counting denials by reason."""
    return text.partition(":")[0]


assert set(MEANINGS) == set(Reason)
