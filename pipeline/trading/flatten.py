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


def netted(resting: Iterable[Order], placed: Iterable[Order]) -> tuple[list[Order], list[Cancel]]:
    """(what rests then, what is taken back) when `placed` orders meet the resting rest of orders of their
    own strategy on the other side: both give up what they have in common, the newest of the resting first.
    An order is taken back once, however many others it met."""
    stay = list(resting)
    taken: dict[tuple[int, int], Cancel] = {}
    for order in placed:
        left = order.quantity
        for index in range(len(stay) - 1, -1, -1):
            other = stay[index]
            if other.strategy != order.strategy or other.side == order.side or not left:
                continue
            common = min(left, other.quantity)
            left -= common
            _take_back(taken, other, common)
            _take_back(taken, order, common)
            rest = other.quantity - common
            stay[index : index + 1] = (
                [Order(other.seq, other.leg, other.strategy, other.side, rest, other.intent)] if rest else []
            )
        if left:
            stay.append(Order(order.seq, order.leg, order.strategy, order.side, left, order.intent))
    return stay, list(taken.values())


def _take_back(taken: dict[tuple[int, int], Cancel], order: Order, quantity: int) -> None:
    name = (order.seq, order.leg)
    if (before := taken.get(name)) is not None:
        quantity += before.quantity
    taken[name] = Cancel(order.seq, order.leg, order.strategy, quantity)


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
