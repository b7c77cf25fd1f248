"""What a run leaves of one key, whichever path ran it: enough for every figure of a report."""

from __future__ import annotations

from collections import Counter

from pipeline.messages import Decision, Fill, Fills, Verdict
from pipeline.trading.reasons import code_of

_ORDERED = int(Verdict.ORDERED)
_HELD = int(Verdict.HELD)


class Record:
    """`fills` with the index of the candle on which each happened; legs counted by what became of them.

    `denials` counts a leg once for every rule that refused it (by reason code); `denied` counts the legs.
    `rejected` are candles refused as such.
    """

    __slots__ = ("candles", "denials", "denied", "fills", "orders", "path", "rejected", "symbol")

    def __init__(self, symbol: str, candles: int, path: str) -> None:
        self.symbol = symbol
        self.candles = candles
        self.path = path
        self.fills: list[tuple[int, Fill]] = []
        self.orders = 0
        self.denied = 0
        self.rejected = 0
        self.denials: Counter[str] = Counter()

    def add(self, row: int, decision: Decision, fills: Fills) -> None:
        """One candle's decision and fills. Held ones need not be added."""
        if decision.rejected:
            self.rejected += 1
            self.denials[code_of(decision.rejected)] += 1
        for leg in decision.legs:
            verdict = leg.verdict
            if verdict == _ORDERED:
                self.orders += 1
            elif verdict != _HELD:
                self.denied += 1
                self.denials.update(map(code_of, leg.reasons))
        for fill in fills.fills:
            self.fills.append((row, fill))

    def same(self, other: Record) -> bool:
        """Whether both tell the same story; the path taken is no part of it."""
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__ if name != "path")
