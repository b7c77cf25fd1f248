"""Domains: named books of positions, and the door from posted text to exact integers and back."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Sequence
from typing import TypeVar

from msgspec import Struct

from pipeline import limits, valuation_limits
from pipeline.errors import InvalidEventError
from pipeline.text import DecimalText, SymbolText
from pipeline.trading.decimals import decimal_text, scaled
from pipeline.trading.instruments import Instrument, Instruments
from pipeline.valuation.amounts import money_text, to_money

Found = TypeVar("Found")
CASH_SCALE = limits.MAX_SCALE
"""Decimals in which cash is given."""


class PositionIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A position as posted. `quantity` is signed; `cost` is what all of it was bought (or, when short, sold)
    for, never negative; without it there is no profit to tell."""

    symbol: SymbolText
    quantity: DecimalText
    cost: DecimalText | None = None


class Position(Struct, frozen=True, array_like=True, gc=False):
    """`quantity` is signed, in the instrument's quantity units; `basis` is what was paid for it, negative for
    what was sold short, in its money units; None: not known."""

    symbol: str
    quantity: int
    basis: int | None = None


class Book(Struct, frozen=True):
    """A domain. `cash` has `MONEY_SCALE` decimals; positions are sorted by symbol, one a symbol.

    All amounts are taken to be in one currency: nothing is converted.
    """

    name: str
    cash: int
    positions: tuple[Position, ...]
    version: int = 1


def book_of(
    name: str,
    cash: str,
    positions: Sequence[PositionIn],
    instruments: Instruments,
    field: str = "",
    version: int = 1,
) -> Book:
    """The exact book. Raises InvalidEventError naming the field, below `field`, its value and the limit."""
    return whole(book_in_slices(name, cash, positions, instruments, field, version))


def book_in_slices(
    name: str, cash: str, positions: Sequence[PositionIn], instruments: Instruments, field: str, version: int
) -> Generator[None, None, Book]:
    """The same with a pause after each `VALUATION_SLICE` positions."""
    inside: dict[str, Position] = {}
    for index, posted in enumerate(positions):
        where = f"{field}positions[{index}]"
        if posted.symbol in inside:
            raise InvalidEventError(f"{where}.symbol", f"{posted.symbol!r} is there twice")
        inside[posted.symbol] = position_of(posted, instruments.of(posted.symbol), f"{where}.")
        if not len(inside) % valuation_limits.VALUATION_SLICE:
            yield
    if len(inside) > valuation_limits.VALUATION_SLICE:
        yield
    money = scaled(f"{field}cash", cash, CASH_SCALE) * to_money(CASH_SCALE)
    return Book(name, money, tuple(inside[symbol] for symbol in sorted(inside)), version)


def whole(work: Generator[None, None, Found]) -> Found:
    """What a generator that pauses returns, without its pauses."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            found: Found = done.value
            return found


def position_of(posted: PositionIn, instrument: Instrument, field: str = "") -> Position:
    """One exact position. Raises InvalidEventError."""
    quantity = scaled(f"{field}quantity", posted.quantity, instrument.quantity_scale)
    if quantity % instrument.lot:
        lot = instrument.quantity_text(instrument.lot)
        raise InvalidEventError(f"{field}quantity", f"{posted.quantity!r} is not a multiple of the lot {lot}")
    if posted.cost is None:
        return Position(posted.symbol, quantity)
    cost = scaled(f"{field}cost", posted.cost, instrument.money_scale)
    if cost < 0:
        raise InvalidEventError(f"{field}cost", f"{posted.cost!r} is negative; the side is in the quantity")
    return Position(posted.symbol, quantity, -cost if quantity < 0 else cost)


def with_position(book: Book, position: Position) -> Book:
    """The next version, in which `position` stands for whatever its symbol had; without it for quantity 0."""
    known = book.positions
    place = bisect_left(known, position.symbol, key=lambda one: one.symbol)
    behind = place + (place < len(known) and known[place].symbol == position.symbol)
    kept = (*known[:place], *((position,) if position.quantity else ()), *known[behind:])
    return Book(book.name, book.cash, kept, book.version + 1)


def position_texts(position: Position, instrument: Instrument) -> dict[str, str]:
    """As posted."""
    texts = {"symbol": position.symbol, "quantity": instrument.quantity_text(position.quantity)}
    if position.basis is not None:
        texts["cost"] = decimal_text(abs(position.basis), instrument.money_scale)
    return texts


def cash_text(book: Book) -> str:
    return money_text(book.cash)
