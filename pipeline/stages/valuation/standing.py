"""A book's worth that is brought up to date by what has changed, at the cost of what has changed.

`valuation.nav.worth` says what it is; a test holds both to one result.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping

from pipeline import valuation_limits
from pipeline.stages.valuation.texts import QuoteTexts, position_head, totals
from pipeline.valuation.book import Book
from pipeline.valuation.nav import NoMarkError, StaleMarkError, unpriced
from pipeline.valuation.quotes import Quote

_UNKNOWN = -1


class Standing:
    """One book with the ensemble off or on. One task at a time may use it."""

    def __init__(self, book: Book, ensemble: bool, texts: QuoteTexts) -> None:
        self.book = book
        self._ensemble = ensemble
        self._texts = texts
        count = len(book.positions)
        self._symbols = [position.symbol for position in book.positions]
        self._quotes: list[Quote | None] = [None] * count
        self._heads = [""] * count
        self._lines = [""] * count
        self._amounts = [(0, 0, 0)] * count
        self._since_us = [0] * count
        self._value = self._profit = self._spread = 0
        self._version = _UNKNOWN

    @property
    def nav(self) -> int:
        return self.book.cash + self._value

    def update(self, quotes: Mapping[str, Quote], version: int) -> Generator[None, None, None]:
        """Follows `quotes`, which have not changed since they had this `version`; pauses after each
        `valuation_limits.VALUATION_SLICE` positions that changed. Raises NoMarkError."""
        if version == self._version:
            return
        changed = 0
        for index, (symbol, known) in enumerate(zip(self._symbols, self._quotes, strict=True)):
            quote = quotes.get(symbol)
            if quote is known and quote is not None:
                continue
            if quote is None or not self._priced(quote):
                raise NoMarkError(self.book.name, unpriced(self.book, quotes, self._ensemble))
            self._change(index, quote)
            changed += 1
            if not changed % valuation_limits.VALUATION_SLICE:
                yield
        self._version = version

    def fresh(self, now_us: int, max_age_us: int) -> None:
        """Raises StaleMarkError when a mark is older; `max_age_us` 0: never."""
        if not max_age_us or not self._since_us:
            return
        oldest_us = min(self._since_us)
        if now_us - oldest_us > max_age_us:
            symbol = self._symbols[self._since_us.index(oldest_us)]
            age_s = (now_us - oldest_us) / 1_000_000
            raise StaleMarkError(self.book.name, symbol, age_s, max_age_us / 1_000_000)

    def text(self, *, positions: bool) -> Generator[None, None, list[bytes]]:
        """As in an answer, in parts; pauses after as many positions as `update`."""
        amounts = (self.nav, self.book.cash, self._value, self._profit)
        spread = self._spread if self._ensemble else None
        head = totals(self.book.name, amounts, spread, min(self._since_us, default=0))
        if not positions:
            return [f"{head}}}".encode()]
        parts, size = [f'{head},"positions":['.encode()], valuation_limits.VALUATION_SLICE
        for first in range(0, len(self._lines), size):
            if first:
                parts.append(b",")
                yield
            parts.append(",".join(self._lines[first : first + size]).encode())
        parts.append(b"]}")
        return parts

    def _priced(self, quote: Quote) -> bool:
        return (quote.agreed if self._ensemble else quote.plain) is not None

    def _change(self, index: int, quote: Quote) -> None:
        position, instrument, factor = self.book.positions[index], quote.instrument, quote.factor
        agreed = quote.agreed if self._ensemble else None
        price = agreed.price if agreed is not None else quote.plain or 0
        own = price * position.quantity
        gained = None if position.basis is None else own - position.basis
        spread = agreed.spread * abs(position.quantity) * factor if agreed is not None else 0
        value, profit = own * factor, 0 if gained is None else gained * factor
        before = self._amounts[index]
        self._value += value - before[0]
        self._profit += profit - before[1]
        self._spread += spread - before[2]
        self._amounts[index] = (value, profit, spread)
        self._since_us[index] = quote.mark.since_us
        if self._quotes[index] is None:
            self._heads[index] = position_head(position.symbol, position.quantity, instrument)
        money = instrument.money_text
        told = "null" if gained is None else f'"{money(gained)}"'
        text = self._texts.of(quote, self._ensemble)
        self._lines[index] = f'{self._heads[index]}{money(own)}","profit":{told},{text}'
        self._quotes[index] = quote
