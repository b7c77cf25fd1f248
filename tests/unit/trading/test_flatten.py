from __future__ import annotations

from pipeline.messages import BUY, SELL, Cancel
from pipeline.trading.exec_state import Order
from pipeline.trading.flatten import flattened


def test_a_flatten_takes_back_an_entry_even_where_it_would_close_what_is_held() -> None:
    entry, exits = Order(1, 0, "s", SELL, 2, "entry"), Order(2, 0, "s", SELL, 3, "exit")
    stay, cancels = flattened([entry, exits], {"s": 3})
    assert stay == [exits]
    assert cancels == [Cancel(1, 0, "s", 2)]


def test_exits_are_cut_to_what_is_held_oldest_first() -> None:
    orders = [Order(seq, 0, "s", BUY, 2, "exit") for seq in (1, 2, 3)]
    stay, cancels = flattened(orders, {"s": -3})
    assert [(order.seq, order.quantity) for order in stay] == [(1, 2), (2, 1)]
    assert cancels == [Cancel(2, 0, "s", 1), Cancel(3, 0, "s", 2)]
