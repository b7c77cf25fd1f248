"""What a baseline is collected from: anything that takes trades and knows its throttles.

`pipeline.stages.inprocess.InProcessManager` is the whole decision path in this process,
`pipeline.replay.manager.LiveManager` a pipeline that runs, `fake.ScriptedManager` a list of answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from msgspec import Struct

from pipeline.performance.resources import Resources

OPEN = "open"
RATE_LIMITED = "rate_limited"
COOLING_DOWN = "cooling_down"
HALTED = "halted"

Call = Callable[[], object]
"""One thing to time."""


class Trade(Struct, frozen=True, kw_only=True):
    """What every trade of a baseline is: a signal to buy `quantity` at `price`, both decimal text.

    The default symbol and strategy are nobody's, so a baseline never touches a real position.
    """

    symbol: str = "BASELINE"
    strategy_id: str = "baseline"
    quantity: str = "1"
    price: str = "100"


class Submission(Struct, frozen=True, kw_only=True):
    """What became of one trade.

    `processing_ms` is its own time, `lag_ms` how far behind the manager was with it. `ordered` is None
    where the manager cannot see decisions. `reasons` are codes `CATEGORY_CONDITION: key=value` of what
    refused it; of a trade throttle among them, `throttle_state` is rate_limited, cooling_down or halted
    (else open), `throttle_message` says it in words and `retry_at` (ISO 8601 with offset) when it ends.
    """

    processing_ms: float
    lag_ms: float
    ordered: bool | None
    reasons: tuple[str, ...] = ()
    throttle_state: str = OPEN
    throttle_message: str = ""
    retry_at: str | None = None


class Manager(Protocol):
    """Takes trades one at a time, in one scope."""

    @property
    def name(self) -> str:
        """inprocess or live: baselines of different managers do not compare."""

    @property
    def measures(self) -> str:
        """From what to what `processing_ms` runs, in words; different ones do not compare."""

    @property
    def strategy_id(self) -> str: ...

    @property
    def symbol(self) -> str: ...

    @property
    def trade_throttle(self) -> dict[str, Any] | None:
        """The settings of the throttle that meets these trades; None: none does."""

    def submit(self, due_ns: int) -> Submission:
        """One trade, meant for `due_ns` (CLOCK_MONOTONIC), taken as far as this manager can see it."""

    def get_trade_throttle_scope_snapshots(self) -> list[dict[str, Any]]:
        """The payload of every throttle scope of the trades' symbol."""

    def resources(self) -> Resources:
        """CPU since the last call, memory now."""

    def calls(self, count: int) -> Sequence[Call]:
        """The next `count` calls for a round that times the code and trades nothing; every round gets
        equal work. Empty where everything that can be timed is a trade."""
