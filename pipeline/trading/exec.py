"""Exec's logic: what the agent ordered becomes fills, `step(state, event, decision) → (state, fills)`.

Exec refuses nothing: what it holds differs from what the agent intends by resting orders only.

- `next_open`: an order made on one event rests and fills at the open of the symbol's next candle, as a leg
  of that candle's row. The open of the bar in which a signal came may lie before the signal.
- `worst_of_bar`: as `next_open`, but a buy fills at that candle's high and a sell at its low, so that no
  fill is better than any the candle allowed.
- `signal_price`: an order fills at once at its leg's price, a candle's close or a signal's price.

With `volume_limit_percent` an order that rests fills in parts. Slippage worsens every fill; commission is on
the fill's notional. Profit is by average cost (`book`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pipeline import limits
from pipeline.config import schema
from pipeline.messages import Action, Cancel, Candle, Control, Decision, Event, Fill, Fills, Verdict
from pipeline.trading.book import booked
from pipeline.trading.costs import Costs
from pipeline.trading.decimals import fraction
from pipeline.trading.exec_state import (
    ExecState,
    Order,
    Position,
    decode_exec_state,
    encode_exec_state,
)
from pipeline.trading.fill_register import FillRegister
from pipeline.trading.flatten import flattened, netted
from pipeline.trading.instruments import Instruments

LOGIC_VERSION = 2
"""Rises whenever the same decisions could fill otherwise or a state's bytes change."""
FillPolicy = Literal["next_open", "signal_price", "worst_of_bar"]
NEXT_OPEN: FillPolicy = "next_open"
SIGNAL_PRICE: FillPolicy = "signal_price"
WORST_OF_BAR: FillPolicy = "worst_of_bar"

_ORDERED = int(Verdict.ORDERED)
_FLATTEN = Action.FLATTEN.value
_NOTHING = Fills()
_FLAT = (0, 0)


class ExecLogic:
    """Fill policy and costs of one configuration. Raises ConfigError when they are out of range."""

    __slots__ = ("_due", "_instruments", "_rests", "code", "costs", "policy", "volume_share")

    def __init__(self, trading: schema.Trading, section: schema.Exec) -> None:
        self._instruments = Instruments(trading)
        self.costs = Costs(section)
        self.policy: FillPolicy = section.fill_policy
        self._rests = section.fill_policy != SIGNAL_PRICE
        # What rested before the policy was changed to one under which nothing rests fills at an open.
        self._due: FillPolicy = section.fill_policy if self._rests else NEXT_OPEN
        costs = f"{section.fill_policy}/{section.commission_bps}/{section.slippage_bps}"
        self.volume_share = fraction(section.volume_limit_percent) / 100
        if self.volume_share:
            costs += f"/{section.volume_limit_percent}"
        self.code = f"{LOGIC_VERSION}-{costs}"

    def origin(self, key: str) -> ExecState:
        """The state of `key` before its first event."""
        return ExecState(key)

    def step(
        self, state: ExecState, event: Event, decision: Decision, *, key_seq: int
    ) -> tuple[ExecState, Fills]:
        """Fill what is due on `event` and place what `decision` ordered on it."""
        placed = _placed(decision, key_seq)
        if decision.rejected or not (placed or state.orders):
            return state, Fills((), len(state.orders)) if state.orders else _NOTHING
        fills = self._execute(state, event, decision, placed, key_seq)
        return _after(state, placed, fills, key_seq), fills

    def apply(
        self,
        state: ExecState,
        event: Event,  # noqa: ARG002 - the same walls as the agent's; fills and cancels say it all
        decision: Decision,
        fills: Fills,
        *,
        key_seq: int,
        register: FillRegister | None = None,
    ) -> ExecState:
        """The state after an event that was executed before; executes nothing.

        `register` is what tells replays over many events of this key; without one, those within this event
        are told. Raises DamagedError when a fill contradicts one that happened, names an order that is not
        open, or fills more than is open of it.
        """
        if decision.rejected:
            return state
        if register is None:
            register = FillRegister(state.symbol)
        placed = _placed(decision, key_seq) if register.applied(key_seq) else ()
        return _after(state, placed, fills, key_seq, register)

    def encode(self, state: ExecState) -> bytes:
        return encode_exec_state(state)

    def decode(self, data: bytes) -> ExecState:
        return decode_exec_state(data)

    def _execute(
        self, state: ExecState, event: Event, decision: Decision, placed: tuple[Order, ...], key_seq: int
    ) -> Fills:
        """What happens to the orders that rested before (`state`) and to those `placed` now."""
        orders: Iterable[Order] = (*state.orders, *placed)
        cancels: Iterable[Cancel] = ()
        if self.volume_share:
            return self._execute_by_volume(state, event, placed)
        if type(event) is Control and event.action == _FLATTEN:
            held = {position.strategy: position.quantity for position in state.positions}
            orders, cancels = flattened(orders, held)
        due = event if type(event) is Candle else None
        books = {position.strategy: (position.quantity, position.cost) for position in state.positions}
        tick = self._instruments.of(state.symbol).tick
        fills, resting = [], 0
        for order in orders:
            if order.seq != key_seq and due is not None:
                fills.append(self._fill(order, self._due_price(due, order.side), self._due, books, tick))
            elif order.seq == key_seq and not self._rests:
                fills.append(self._fill(order, decision.legs[order.leg].price, SIGNAL_PRICE, books, tick))
            else:
                resting += 1
        return Fills(tuple(fills), resting, tuple(cancels))

    def _execute_by_volume(self, state: ExecState, event: Event, placed: tuple[Order, ...]) -> Fills:
        """As `_execute` where a candle fills no more than a share of its volume.

        Older orders come first. An order against what rests of its own strategy takes that back instead of
        trading against it, so all of a strategy's orders that rest are of one side. More than
        `limits.MAX_PARTIAL_ORDERS` never rest: the oldest ones then fill whole.
        """
        instrument = self._instruments.of(state.symbol)
        books = {position.strategy: (position.quantity, position.cost) for position in state.positions}
        fills, left = [], list(state.orders)
        if type(event) is Candle:
            share = event.volume * self.volume_share.numerator // self.volume_share.denominator
            share -= share % instrument.lot
            left = []
            for index, order in enumerate(state.orders):
                whole = len(state.orders) - index > limits.MAX_PARTIAL_ORDERS
                quantity = order.quantity if whole else min(order.quantity, share)
                if quantity:
                    share = max(share - quantity, 0)
                    part = _part(order, quantity)
                    price = self._due_price(event, order.side)
                    fills.append(self._fill(part, price, self._due, books, instrument.tick))
                if quantity < order.quantity:
                    left.append(_part(order, order.quantity - quantity))
        if type(event) is Control and event.action == _FLATTEN:
            held = {name: position for name, (position, _) in books.items()}
            stay, cancels = flattened((*left, *placed), held)
            return Fills(tuple(fills), len(stay), tuple(cancels))
        stay, cancels = netted(left, placed)
        return Fills(tuple(fills), len(stay), tuple(cancels))

    def _due_price(self, candle: Candle, side: int) -> int:
        """Where an order that rested fills on `candle`, before slippage."""
        if self._due != WORST_OF_BAR:
            return candle.open
        return candle.high if side > 0 else candle.low

    def _fill(
        self, order: Order, reference: int, policy: str, books: dict[str, tuple[int, int]], tick: int
    ) -> Fill:
        """The whole of `order` near `reference`; moves its strategy's (position, cost) in `books`."""
        costs, side, quantity, strategy = self.costs, order.side, order.quantity, order.strategy
        price = costs.slipped(reference, side, tick)
        position, cost = books.get(strategy, _FLAT)
        position, cost, realised = booked(position, cost, side, quantity, price)
        books[strategy] = (position, cost)
        commission = costs.commission(price * quantity)
        return Fill(
            order.seq, order.leg, strategy, side, quantity, price, commission, realised, position, policy
        )


def partial_fills(section: schema.Exec) -> bool:
    """Whether orders may fill in parts: the agent has to know."""
    return bool(fraction(section.volume_limit_percent))


def _part(order: Order, quantity: int) -> Order:
    return Order(order.seq, order.leg, order.strategy, order.side, quantity, order.intent)


def _placed(decision: Decision, key_seq: int) -> tuple[Order, ...]:
    """The orders that this decision makes."""
    return tuple(
        [
            Order(key_seq, index, leg.strategy, leg.side, leg.quantity, leg.intent)
            for index, leg in enumerate(decision.legs)
            if leg.verdict == _ORDERED
        ]
    )


def _after(
    state: ExecState,
    placed: tuple[Order, ...],
    fills: Fills,
    key_seq: int,
    register: FillRegister | None = None,
) -> ExecState:
    """The state once `fills` have happened to what rested and what was `placed`; those that `register` knows
    happen no second time."""
    if not (placed or fills.fills or fills.cancelled):
        return state
    left = {(order.seq, order.leg): order for order in (*state.orders, *placed)}
    books = {position.strategy: (position.quantity, position.cost) for position in state.positions}
    for fill in fills.fills:
        if register is None or register.admit(key_seq, fill, _open(left, fill)):
            _reduce(left, fill)
            position, cost = books.get(fill.strategy, _FLAT)
            position, cost, _ = booked(position, cost, fill.side, fill.quantity, fill.price)
            books[fill.strategy] = (position, cost)
    for cancel in fills.cancelled:
        if register is None or register.admit(key_seq, cancel, _open(left, cancel)):
            _reduce(left, cancel)
    return ExecState(
        state.symbol,
        tuple(left.values()),
        tuple([Position(name, held, cost) for name, (held, cost) in books.items() if held]),
    )


def _open(left: dict[tuple[int, int], Order], done: Fill | Cancel) -> int | None:
    """What is open of the order that `done` names; None where it is not, or is another strategy's."""
    order = left.get((done.order_seq, done.order_leg))
    return order.quantity if order is not None and order.strategy == done.strategy else None


def _reduce(left: dict[tuple[int, int], Order], done: Fill | Cancel) -> None:
    name = (done.order_seq, done.order_leg)
    order = left[name]
    if order.quantity == done.quantity:
        del left[name]
    else:
        left[name] = _part(order, order.quantity - done.quantity)
