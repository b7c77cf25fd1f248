"""One open position and its cost: exact average-cost accounting.

Average cost, not first-in-first-out: the state is two integers however many fills built the position. A
partial close takes its share of the cost rounded down to the unit of money (10^-money_scale), and the rest
stays with what is still open, so over a round trip the realised sum is exactly proceeds less cost.
"""

from __future__ import annotations


def booked(position: int, cost: int, side: int, quantity: int, price: int) -> tuple[int, int, int]:
    """(position, cost, realised) after a fill of `quantity` > 0 at `price`.

    `position` is signed; `cost` ≥ 0 is what the open quantity was bought (or, when short, sold) for;
    `realised` is the profit of the part that this fill closed, before commission. A fill larger than the
    open position closes it and opens the rest the other way.
    """
    if position * side >= 0:
        return position + side * quantity, cost + quantity * price, 0
    held = -position if position < 0 else position
    closing = min(quantity, held)
    share = cost * closing // held
    realised = side * (share - closing * price)
    position += side * quantity
    if quantity > closing:
        return position, (quantity - closing) * price, realised
    return position, cost - share, realised


def open_profit(position: int, cost: int, price: int) -> int:
    """Profit of the open position if it were closed at `price`, before commission."""
    return position * price - cost if position >= 0 else cost + position * price
