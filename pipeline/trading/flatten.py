"""How a flatten meets orders that still rest.

The agent sends an exit for all that it intends to hold, filled or not; a part of that may be an entry which
has not filled yet. So the entries are cancelled, and the exits, oldest first, are cut to what is really
held. Afterwards filled positions and what rests add up to zero, which is what the agent intends.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.messages import Cancel
from pipeline.trading.exec_state import Order
from pipeline.trading.turn import ENTRY


def flattened(orders: Iterable[Order], held: dict[str, int]) -> tuple[list[Order], list[Cancel]]:
    """(orders that stay, what is taken back) of `orders`, all that rest and the flatten's own exits, in
    order; `held` are the filled positions by strategy."""
    open_quantity = dict(held)
    stay: list[Order] = []
    cancels: list[Cancel] = []
    for order in orders:
        held_now = open_quantity.get(order.strategy, 0)
        kept = 0
        if order.intent != ENTRY and held_now * order.side < 0:
            kept = min(order.quantity, abs(held_now))
            open_quantity[order.strategy] = held_now + order.side * kept
        if kept:
            stay.append(Order(order.seq, order.leg, order.strategy, order.side, kept, order.intent))
        if kept < order.quantity:
            cancels.append(Cancel(order.seq, order.leg, order.strategy, order.quantity - kept))
    return stay, cancels
