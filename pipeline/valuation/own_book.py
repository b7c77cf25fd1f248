"""The pipeline's own book, from its fills: cash that began at zero and what is held now, so that its net
asset value is the net profit and loss."""

from __future__ import annotations

from collections import defaultdict

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


class OwnBook:
    """Add fills in the order of their rows."""

    def __init__(self, name: str, instruments: Instruments) -> None:
        self._name = name
        self._instruments = instruments
        self._holdings: dict[tuple[str, str], Holding] = {}
        self._cash = 0
        self._book: Book | None = None

    def add(self, symbol: str, fill: Fill) -> None:
        """One fill of `symbol`."""
        key = (fill.strategy, symbol)
        held = self._holdings.get(key) or Holding(fill.strategy, symbol, 0, 0)
        position, cost, _ = booked(held.position, held.cost, fill.side, fill.quantity, fill.price)
        if position:
            self._holdings[key] = Holding(fill.strategy, symbol, position, cost)
        else:
            self._holdings.pop(key, None)
        paid = fill.side * fill.quantity * fill.price + fill.commission
        self._cash -= paid * to_money(self._instruments.of(symbol).money_scale)
        self._book = None

    @property
    def book(self) -> Book:
        """As a domain: all strategies' positions in a symbol together."""
        if self._book is None:
            sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
            for held in self._holdings.values():
                of_symbol = sums[held.symbol]
                of_symbol[0] += held.position
                of_symbol[1] += held.cost if held.position > 0 else -held.cost
            positions = tuple(Position(symbol, *sums[symbol]) for symbol in sorted(sums))
            self._book = Book(self._name, self._cash, positions)
        return self._book

    @property
    def state(self) -> tuple[str, tuple[Holding, ...]]:
        """Cash as text, for it has no bound, and the holdings."""
        return str(self._cash), tuple(self._holdings.values())

    def restore(self, cash: str, holdings: tuple[Holding, ...]) -> None:
        self._cash = int(cash)
        self._holdings = {(held.strategy, held.symbol): held for held in holdings}
        self._book = None
