"""The plainest case of the fast path: one strategy that is long or flat, and nothing that could refuse it.

Then entries and exits take turns, every exit closes what the entry before it opened, and what is ordered and
filled follows from the rows on which the strategy changes its mind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.backtest.record import Record
from pipeline.backtest.series import Column, Series
from pipeline.backtest.stream import Stream
from pipeline.backtest.wishes import Wishes
from pipeline.messages import BUY, SELL, Decision, Fill, Fills, Leg, Verdict, encode
from pipeline.trading.exec import NEXT_OPEN, SIGNAL_PRICE, ExecLogic
from pipeline.trading.plan import Plan, Seat
from pipeline.trading.strategies import FULL
from pipeline.trading.turn import ENTRY, EXIT

_ORDERED = int(Verdict.ORDERED)
_WAITS = encode(Fills((), 1))


def turns(plan: Plan, wanted: list[Wishes]) -> Column | None:
    """The rows of entries and exits in turn, an entry first; None where the case is not so plain."""
    if len(plan.seats) != 1:
        return None
    (seat,) = plan.seats
    if seat.rules or seat.key_rules or seat.quantity <= 0:
        return None
    rows, intents = wanted[0].rows, wanted[0].intents
    long = intents == FULL
    if not bool((long | (intents == 0)).all()):
        return None
    changes: Column = rows[long != np.concatenate((np.zeros(1, dtype=np.bool_), long[:-1]))[: len(long)]]
    return changes


def run_plain(
    plan: Plan, floor: ExecLogic, series: Series, stream: Stream, rows: Column, record: Record
) -> None:
    """Digests all rows and fills `record`; `rows` are from `turns`."""
    (seat,) = plan.seats
    rests = floor.policy != SIGNAL_PRICE
    decisions = _in_turn(
        [_ordered(seat, BUY, price, ENTRY) for price in series.close[rows[0::2]].tolist()],
        [_ordered(seat, SELL, price, EXIT) for price in series.close[rows[1::2]].tolist()],
    )
    fills = _fills(plan, floor, series, rows, rests)
    named = rows.tolist()
    if rests:
        stream.rows(_resting(named, decisions, fills, encode(plan.held)))
    else:
        stream.rows(zip(named, decisions, [encode(Fills((fill,), 0)) for fill in fills], strict=True))
    stream.finish()
    record.orders = len(named)
    record.fills = list(zip([row + rests for row in named], fills, strict=False))


def _ordered(seat: Seat, side: int, price: int, intent: str) -> bytes:
    return encode(Decision((Leg(seat.name, _ORDERED, side, seat.quantity, price, (), 0, intent),)))


def _fills(plan: Plan, floor: ExecLogic, series: Series, rows: Column, rests: bool) -> list[Fill]:
    """Of each order; the last one has none when no candle follows it."""
    at = rows + rests
    at = at[at < len(series)]
    buys = sells = series.close if not rests else series.open
    if rests and floor.policy != NEXT_OPEN:
        buys, sells = series.high, series.low
    paid, got = buys[at[0::2]].tolist(), sells[at[1::2]].tolist()
    costs, tick, policy = floor.costs, plan.instrument.tick, floor.policy
    if costs.slips:
        paid = [costs.slipped(price, BUY, tick) for price in paid]
        got = [costs.slipped(price, SELL, tick) for price in got]
    name, size, commission = plan.seats[0].name, plan.seats[0].quantity, costs.commission
    seqs = (rows + 1).tolist()
    return _in_turn(
        [
            Fill(seq, 0, name, BUY, size, price, commission(price * size), 0, size, policy)
            for seq, price in zip(seqs[0::2], paid, strict=False)
        ],
        [
            Fill(seq, 0, name, SELL, size, price, commission(price * size), (price - cost) * size, 0, policy)
            for seq, price, cost in zip(seqs[1::2], got, paid, strict=False)
        ],
    )


def _in_turn(first: list[Any], second: list[Any]) -> list[Any]:
    both: list[Any] = [None] * (len(first) + len(second))
    both[0::2], both[1::2] = first, second
    return both


def _resting(
    rows: list[int], decisions: list[bytes], fills: list[Fill], held: bytes
) -> Iterator[tuple[int, bytes, bytes]]:
    """What is not quiet, where every order waits for the next candle."""
    due, index = -1, -1
    for index, (row, decision) in enumerate(zip(rows, decisions, strict=True)):
        if due == row:
            yield row, decision, encode(Fills((fills[index - 1],), 1))
        else:
            if due >= 0:
                yield due, held, encode(Fills((fills[index - 1],), 0))
            yield row, decision, _WAITS
        due = row + 1
    if 0 <= index < len(fills):
        yield due, held, encode(Fills((fills[index],), 0))
