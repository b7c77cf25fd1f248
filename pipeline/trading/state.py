"""What the agent knows of one key between two events; `state_bytes` has its byte form.

Immutable, integers and short text only, equal states give equal bytes. Under the default configuration it
takes about 800 bytes; every entry within a year is remembered, of each strategy the last thousand and of
all together the last thousand.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from pipeline.trading.scopes import LastSeen
from pipeline.trading.throttle_memory import ORIGIN, ScopeState

NO_CANDLE_YET = -1
NO_LAG_YET = -1


class Slot(Struct, frozen=True, array_like=True, gc=False):
    """One strategy in one symbol.

    `position` is the intended one (signed, scaled): what its orders add up to, filled or not. `tag` and
    `memory` are the strategy's, "" and None where only signals speak in its name. `scope` is what throttles
    remember of it, whichever are configured.
    """

    name: str
    tag: str
    memory: Any
    position: int
    scope: ScopeState


class State(Struct, frozen=True, array_like=True, gc=False):
    """One key. `slots` are the configured strategies in the plan's order, then those only signals name.

    `clock_us` is the largest event time so far; `candle_us` and `close` the last candle's. `mark` is the
    price of the last order. `halted` is the control that halted trading, "" while it may enter. `peak` and
    `reach` are the highest price and the largest quantity since all was last flat, so that every amount's
    size is bounded by their product (`limits.MAX_EXPOSURE`). `orders` counts those made since the last
    candle, where orders rest. `day_profit` is that of `day` (days since the epoch, UTC), kept only where a
    daily loss is limited; see `risk`. `wide` is what throttles that count over symbols held when they
    were last asked, for display. `scope` is what throttles remember of all strategies together. `lag_us` is
    how long after `clock_us` its event was accepted, NO_LAG_YET where no version wrote it: the hour for a
    signal or a live candle, years for one of a history; see `flatten_us`.
    """

    symbol: str
    clock_us: int = 0
    candle_us: int = NO_CANDLE_YET
    close: int = 0
    mark: int = 0
    halted: str = ""
    peak: int = 0
    reach: int = 0
    orders: int = 0
    slots: tuple[Slot, ...] = ()
    day: int = 0
    day_profit: int = 0
    wide: tuple[LastSeen, ...] = ()
    scope: ScopeState = ORIGIN
    lag_us: int = NO_LAG_YET


def lag_after(clock_us: int, at_us: int) -> int:
    """`lag_us` of the state after an event that was accepted at `at_us`."""
    return max(0, at_us - clock_us)


def flatten_us(state: State, at_us: int) -> int:
    """When, on the key's own clock, it is flattened by a control accepted at `at_us`: as long after the last
    event as the control came after it. So a cooldown runs from the flatten, and a replay of old candles is
    not carried to today by it."""
    return state.clock_us if state.lag_us == NO_LAG_YET else max(state.clock_us, at_us - state.lag_us)
