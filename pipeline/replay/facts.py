"""What the audit's rows say about a run: one pass over them, each decoded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from pipeline.clock import US_PER_S
from pipeline.config.schema import Trading
from pipeline.delivery import Delivery
from pipeline.messages import (
    Candle,
    CandleIn,
    Decision,
    Fills,
    Verdict,
    decode_decision,
    decode_event,
    decode_fills,
)
from pipeline.replay.posts import webhook_id
from pipeline.replay.report import Equity, PnlLine
from pipeline.trading.instruments import Instruments
from pipeline.trading.pnl import ProfitAndLoss
from pipeline.trading.reasons import code_of

EQUITY_POINTS = 240
"""Points of one drawn line: more than that falls into the same pixels."""
_REFUSED = (Verdict.DENIED, Verdict.FAILED)


class Facts:
    """Add every row, those of one key in its order, then read."""

    def __init__(self, trading: Trading, longest_key: int) -> None:
        """`longest_key`: about how many rows the longest key has; equity is thinned by it."""
        self.rows = 0
        self.orders = 0
        self.fills = 0
        self.outcomes: Counter[str] = Counter()
        self.denials: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.places: dict[str, tuple[str, int]] = {}
        """(key, key_seq) by webhook-id."""
        self._ledger = ProfitAndLoss(Instruments(trading))
        self._every = max(1, longest_key // EQUITY_POINTS)
        self._equity: dict[tuple[str, str], dict[str, str]] = {}
        self._days: dict[str, str] = {}

    def add(self, row: Delivery) -> None:
        self.rows += 1
        self.outcomes[row.outcome] += 1
        self.seen[row.webhook_id] += 1
        self.places[row.webhook_id] = (row.key, row.key_seq)
        if not row.live:
            return
        decision = decode_decision(row.decision) if row.decision else Decision()
        fills = decode_fills(row.fills) if row.fills else Fills()
        self._count(decision)
        self.fills += len(fills.fills)
        event = decode_event(row.payload)
        self._ledger.add(row.key, event, fills, rejected=bool(decision.rejected))
        if type(event) is Candle:
            self._days[row.key] = _day(event.time_us)
            if row.key_seq % self._every == 0:
                self._mark(row.key)

    def pnl(self) -> tuple[PnlLine, ...]:
        return tuple(
            PnlLine(
                strategy=line.strategy,
                symbol=line.symbol,
                fills=line.fills,
                position=line.position,
                realised=line.realised,
                unrealised=line.unrealised,
                commission=line.commission,
                net=line.net,
            )
            for line in self._ledger.lines()
        )

    def equity(self) -> tuple[Equity, ...]:
        """Each line's net over time, its last point included."""
        for key in self._days:
            self._mark(key)
        return tuple(
            Equity(strategy=strategy, symbol=symbol, dates=tuple(points), net=tuple(points.values()))
            for (strategy, symbol), points in sorted(self._equity.items())
        )

    def _count(self, decision: Decision) -> None:
        if decision.rejected:
            self.denials[code_of(decision.rejected)] += 1
        for leg in decision.legs:
            if leg.verdict == Verdict.ORDERED:
                self.orders += 1
            elif leg.verdict in _REFUSED:
                self.denials.update(map(code_of, leg.reasons))

    def _mark(self, key: str) -> None:
        for line in self._ledger.lines():
            if line.symbol == key:
                self._equity.setdefault((line.strategy, key), {})[self._days[key]] = line.net


class Match:
    """What was accepted beside what was audited.

    `audited` have exactly one row, `missing` none, `doubled` several; `misplaced` are not where their turn
    was (a key's nth candle is its row n); `foreign` rows belong to none of the run's candles.
    """

    def __init__(
        self,
        run_id: str,
        planned: Mapping[str, Sequence[CandleIn]],
        accepted: Mapping[str, int],
        facts: Facts,
    ) -> None:
        self.audited = self.missing = self.doubled = self.misplaced = 0
        known = 0
        for key, candles in planned.items():
            for index, candle in enumerate(candles):
                identity = webhook_id(run_id, key, candle.time)
                times = facts.seen[identity]
                known += times
                if index < accepted.get(key, 0):
                    self.audited += times == 1
                    self.missing += times == 0
                    self.doubled += times > 1
                self.misplaced += times > 0 and facts.places[identity] != (key, index + 1)
        self.foreign = facts.rows - known

    def faults(self) -> Iterable[str]:
        """One line for each promise that was not kept."""
        if self.missing:
            yield f"{self.missing} accepted events have no audit row"
        if self.doubled:
            yield f"{self.doubled} accepted events have more than one audit row"
        if self.misplaced:
            yield f"{self.misplaced} events are out of order within their key"
        if self.foreign:
            yield f"{self.foreign} audit rows belong to no event of this run"


def _day(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / US_PER_S, UTC).date().isoformat()
