"""The fast path: what strategies want comes in columns, quiet rows are hashed by the block, and only the
candles on which something is wanted or fills are walked one by one.

It makes the same legs, fills and bytes as the live path and is held to it by tests over random
configurations and series. What it does not cover (`why_not` says what) runs on the live path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from pipeline import limits
from pipeline.backtest.plain_path import run_plain, turns
from pipeline.backtest.record import Record
from pipeline.backtest.series import Series
from pipeline.backtest.stream import Stream
from pipeline.backtest.streams import row_stream
from pipeline.backtest.wishes import Wishes, wishes
from pipeline.messages import BUY, SELL, Decision, Fill, Fills, Leg, Verdict, encode
from pipeline.run_digest import RunDigest
from pipeline.trading.agent import AgentLogic
from pipeline.trading.book import booked
from pipeline.trading.exec import NEXT_OPEN, SIGNAL_PRICE, ExecLogic
from pipeline.trading.plan import Plan, Seat
from pipeline.trading.reasons import code_of
from pipeline.trading.throttle import enter, judge_both, leave, origin
from pipeline.trading.turn import ENTRY, EXIT, closing_quantity

NAME = "fast"

_ORDERED = int(Verdict.ORDERED)
_DENIED = int(Verdict.DENIED)
_SILENT = 1 << 20
"""No intent; beyond every one there is."""
_LAST_KEY_SEQ = 10**18

Order = tuple[int, int, int, int, int]
"""key_seq, leg, index of the seat, side, quantity."""


def why_not(agent: AgentLogic, series: Series) -> str:
    """Why this series under this configuration needs the live path; "" when it does not."""
    plan = agent.plan_of(series.symbol)
    if plan.risk.active:
        return "risk limits are set"
    if plan.wide:
        return "a throttle counts over all symbols"
    if agent.partial_fills:
        return "orders fill by volume"
    if not len(series):
        return "there are no candles"
    if bool((np.diff(series.time_us) <= 0).any()) or int(series.time_us[0]) < 0:
        return "times do not rise"
    if min(int(column.min()) for column in series.columns) < 0 or len(series) >= _LAST_KEY_SEQ:
        return "a number is negative"
    most = max((seat.quantity for seat in plan.seats), default=0)
    highest = int(series.high.max())
    if highest * most > limits.MAX_EXPOSURE or int(series.close.max()) > highest:
        return "a position's value may exceed the limit of exact amounts"
    return ""


def run_fast(
    agent: AgentLogic,
    floor: ExecLogic,
    series: Series,
    digest: RunDigest,
    progress: Callable[[int], None] | None = None,
) -> Record | None:
    """Runs one key of which `why_not` says nothing; None, and nothing digested, when a strategy fails."""
    plan = agent.plan_of(series.symbol)
    wanted = [wishes(seat.strategy, series) for seat in plan.seats]
    if any(wish.fault for wish in wanted):
        return None
    digest.key(series.symbol)
    stream = row_stream(series, digest, encode(plan.held))
    rows = turns(plan, wanted)
    if rows is not None:
        record = Record(series.symbol, len(series), NAME)
        run_plain(plan, floor, series, stream, rows, record)
    else:
        record = _Desk(plan, floor, series, stream).run(wanted)
    if progress is not None:
        progress(len(series))
    return record


class _Desk:
    """One run over one series."""

    def __init__(self, plan: Plan, floor: ExecLogic, series: Series, stream: Stream) -> None:
        self._seats = plan.seats
        self._costs = floor.costs
        self._policy = floor.policy
        self._tick = plan.instrument.tick
        self._series = series
        self._stream = stream
        self._record = Record(series.symbol, len(series), NAME)
        self._intended = [0] * len(plan.seats)
        self._scopes = [origin()] * len(plan.seats)
        self._key_scope = origin()
        self._books = [(0, 0)] * len(plan.seats)
        self._held = encode(plan.held)
        self._names = [seat.name for seat in plan.seats]
        self._slips = floor.costs.slips

    def run(self, wanted: list[Wishes]) -> Record:
        rests = self._policy != SIGNAL_PRICE
        row_bytes, filled, decided, held = self._stream.row, self._filled, self._decided, self._held
        unfilled = [_encoded((), count) for count in range(2 * len(self._seats) + 1)]
        resting: list[Order] = []
        due_row = -1
        due = (0, 0)
        for row, intents, price, time_us, buy_at, sell_at in self._eventful(wanted):
            fills: tuple[Fill, ...] = ()
            if resting:
                fills = filled(due_row, resting, *due)
                if due_row < row:
                    row_bytes(due_row, held, _encoded(fills, 0))
                    fills = ()
            legs, placed = decided(row + 1, intents, price, time_us)
            if rests:
                resting, due_row, due = placed, row + 1, (buy_at, sell_at)
                resting_count = len(placed)
            else:
                fills = filled(row, placed, price, price)
                resting_count = 0
            ended = _encoded(fills, resting_count) if fills else unfilled[resting_count]
            row_bytes(row, encode(Decision(tuple(legs))), ended)
        if resting and due_row < len(self._series):
            row_bytes(due_row, held, _encoded(filled(due_row, resting, *due), 0))
        self._stream.finish()
        return self._record

    def _eventful(self, wanted: list[Wishes]) -> Iterator[tuple[int, list[int], int, int, int, int]]:
        """Each row on which somebody wants something: (row, the intents of all seats, close, time, and what
        a buy and a sell that rest then would be filled at on the next candle)."""
        series = self._series
        if not wanted:
            return
        rows = wanted[0].rows
        if len(wanted) == 1:
            intents = wanted[0].intents[:, None]
        else:
            rows = np.unique(np.concatenate([wish.rows for wish in wanted]))
            intents = np.full((len(rows), len(wanted)), _SILENT, dtype=np.int64)
            for index, wish in enumerate(wanted):
                intents[np.searchsorted(rows, wish.rows), index] = wish.intents
        after = np.minimum(rows + 1, len(series) - 1)
        buys, sells = (series.open, series.open) if self._policy == NEXT_OPEN else (series.high, series.low)
        columns = (rows, intents, series.close[rows], series.time_us[rows], buys[after], sells[after])
        yield from zip(*(column.tolist() for column in columns), strict=True)

    def _decided(
        self, key_seq: int, intents: list[int], price: int, now_us: int
    ) -> tuple[list[Leg], list[Order]]:
        """As `Turn.aim` for each seat, where no risk limit can object."""
        legs: list[Leg] = []
        placed: list[Order] = []
        intended = self._intended
        for index, intent in enumerate(intents):
            seat = self._seats[index]
            position = intended[index]
            target = position if intent == _SILENT else seat.sized(intent)
            if position == target:
                legs.append(seat.held)
                continue
            side = BUY if target > position else SELL
            closing = closing_quantity(position, target) if position else 0
            if closing:
                placed.append((key_seq, len(legs), index, side, closing))
                legs.append(Leg(seat.name, _ORDERED, side, closing, price, (), 0, EXIT))
                position += side * closing
                if seat.rules:
                    self._scopes[index] = leave(self._scopes[index], now_us)
                if seat.key_rules:
                    self._key_scope = leave(self._key_scope, now_us)
            if position != target:
                opening = target - position if side > 0 else position - target
                leg = self._entry(seat, index, side, opening, price, now_us)
                if leg.verdict == _ORDERED:
                    placed.append((key_seq, len(legs), index, side, opening))
                    position = target
                legs.append(leg)
            intended[index] = position
        self._record.orders += len(placed)
        return legs, placed

    def _entry(self, seat: Seat, index: int, side: int, quantity: int, price: int, now_us: int) -> Leg:
        if seat.rules or seat.key_rules:
            notional = quantity * price
            scope, key_scope = self._scopes[index], self._key_scope
            answer = judge_both(seat.rules, scope, seat.key_rules, key_scope, now_us, notional)
            if answer.reasons:
                self._record.denied += 1
                self._record.denials.update(map(code_of, answer.reasons))
                return Leg(
                    seat.name, _DENIED, side, quantity, price, answer.reasons, answer.retry_at_us, ENTRY
                )
            self._scopes[index] = enter(scope, now_us, notional)
            if seat.key_rules:
                self._key_scope = enter(key_scope, now_us, notional)
        return Leg(seat.name, _ORDERED, side, quantity, price, (), 0, ENTRY)

    def _filled(self, row: int, orders: list[Order], buy_at: int, sell_at: int) -> tuple[Fill, ...]:
        """As `ExecLogic` fills whole orders."""
        costs, policy, tick, books = self._costs, self._policy, self._tick, self._books
        fills = []
        for key_seq, leg, index, side, quantity in orders:
            price = buy_at if side > 0 else sell_at
            if self._slips:
                price = costs.slipped(price, side, tick)
            position, cost = books[index]
            position, cost, realised = booked(position, cost, side, quantity, price)
            books[index] = (position, cost)
            fill = Fill(
                key_seq, leg, self._names[index], side, quantity, price, costs.commission(price * quantity),
                realised, position, policy,
            )  # fmt: skip
            fills.append(fill)
            self._record.fills.append((row, fill))
        return tuple(fills)


def _encoded(fills: tuple[Fill, ...], resting: int) -> bytes:
    return encode(Fills(fills, resting))
