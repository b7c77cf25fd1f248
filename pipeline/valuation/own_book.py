"""The pipeline's own book, from its fills: cash that began at zero and what is held now, so that its net
asset value is the net profit and loss."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from msgspec import Struct

from pipeline.messages import Fill
from pipeline.trading.book import booked
from pipeline.trading.instruments import Instruments
from pipeline.valuation.amounts import to_money
from pipeline.valuation.book import Book, Position


class Holding(Struct, frozen=True, array_like=True, gc=False):
    """One strategy's position in one symbol; `cost` ≥ 0 as `trading.book` has it."""

    strategy: str
    symbol: str
    position: int
    cost: int

    @property
    def basis(self) -> int:
        return self.cost if self.position > 0 else -self.cost


class OwnBook:
    """Add fills in the order of their rows. Each moves one position: no book is ever added up anew."""

    def __init__(self, name: str, instruments: Instruments) -> None:
        self._name = name
        self._instruments = instruments
        self._holdings: dict[tuple[str, str], Holding] = {}
        self._symbols: list[str] = []
        """Ascending; in `_positions` what all strategies together hold of each, in `_count` how many do."""
        self._positions: list[Position] = []
        self._count: dict[str, int] = {}
        self._cash = 0
        self._book: Book | None = None

    def add(self, symbol: str, fill: Fill) -> None:
        """One fill of `symbol`."""
        key = (fill.strategy, symbol)
        held = self._holdings.get(key) or Holding(fill.strategy, symbol, 0, 0)
        position, cost, _ = booked(held.position, held.cost, fill.side, fill.quantity, fill.price)
        moved = Holding(fill.strategy, symbol, position, cost)
        if position:
            self._holdings[key] = moved
        else:
            self._holdings.pop(key, None)
        self._move(held, moved)
        paid = fill.side * fill.quantity * fill.price + fill.commission
        self._cash -= paid * to_money(self._instruments.of(symbol).money_scale)
        self._book = None

    def _move(self, before: Holding, after: Holding) -> None:
        """The position in a symbol follows one of its holdings."""
        symbol = after.symbol
        place = bisect_left(self._symbols, symbol)
        if symbol not in self._count:
            self._symbols.insert(place, symbol)
            self._positions.insert(place, Position(symbol, 0, 0))
        count = self._count.get(symbol, 0) + bool(after.position) - bool(before.position)
        if count:
            self._count[symbol] = count
            self._positions[place] = _sum(self._positions[place], after, before)
        else:
            self._count.pop(symbol, None)
            del self._symbols[place], self._positions[place]

    @property
    def book(self) -> Book:
        """As a domain: all strategies' positions in a symbol together."""
        if self._book is None:
            self._book = Book(self._name, self._cash, tuple(self._positions))
        return self._book

    @property
    def state(self) -> tuple[str, tuple[Holding, ...]]:
        """Cash as text, for it has no bound, and the holdings."""
        return str(self._cash), tuple(self._holdings.values())

    def restore(self, cash: str, holdings: tuple[Holding, ...]) -> None:
        self._cash = int(cash)
        self._holdings = {(held.strategy, held.symbol): held for held in holdings}
        self._restore_positions(self._holdings.values())
        self._book = None

    def _restore_positions(self, holdings: Iterable[Holding]) -> None:
        sums: dict[str, Position] = {}
        self._count = {}
        for held in holdings:
            symbol = held.symbol
            sums[symbol] = _sum(sums.get(symbol) or Position(symbol, 0, 0), held)
            self._count[symbol] = self._count.get(symbol, 0) + 1
        self._symbols = sorted(sums)
        self._positions = [sums[symbol] for symbol in self._symbols]


def _sum(position: Position, more: Holding, less: Holding | None = None) -> Position:
    quantity, basis = position.quantity + more.position, (position.basis or 0) + more.basis
    if less is not None:
        quantity, basis = quantity - less.position, basis - less.basis
    return Position(position.symbol, quantity, basis)
