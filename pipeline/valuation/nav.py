"""What a book is worth: cash and every position at its price. Net asset value, and how sure it is."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import NamedTuple

from pipeline import valuation_limits
from pipeline.errors import RinglineError
from pipeline.valuation.book import Book, Position, whole
from pipeline.valuation.quotes import Quote


class NoMarkError(RinglineError):
    """Positions without a price: never marked, or no model that counts gave one."""

    def __init__(self, domain: str, symbols: Sequence[str]) -> None:
        shown = ", ".join(symbols[:5]) + (f" and {len(symbols) - 5} more" if len(symbols) > 5 else "")
        super().__init__(f"{domain}: no price of {shown}")
        self.domain = domain
        self.symbols = tuple(symbols)


class StaleMarkError(RinglineError):
    """A mark older than asked for."""

    def __init__(self, domain: str, symbol: str, age_s: float, most_s: float) -> None:
        super().__init__(f"{domain}: the mark of {symbol} is {age_s:.1f} s old; the limit is {most_s:g} s")
        self.domain = domain
        self.symbol = symbol


class Line(NamedTuple):
    """One position: its quote, the price used (price units), value and profit (the instrument's money)."""

    position: Position
    quote: Quote
    price: int
    value: int
    profit: int | None


class Worth(NamedTuple):
    """A valued book. All sums have `MONEY_SCALE` decimals.

    `spread` is what the value would be off if every model were off by its spread, all to one side; None
    with the ensemble off. `profit` leaves out positions whose cost is not known.
    """

    book: Book
    lines: list[Line]
    value: int
    profit: int
    spread: int | None
    oldest_us: int | None

    @property
    def nav(self) -> int:
        return self.book.cash + self.value


def worth(
    book: Book,
    quotes: Mapping[str, Quote],
    *,
    ensemble: bool,
    now_us: int = 0,
    max_age_us: int = 0,
) -> Worth:
    """Values `book`. `max_age_us` 0: marks of any age. Raises NoMarkError and StaleMarkError."""
    return whole(in_slices(book, quotes, ensemble, now_us, max_age_us))


def in_slices(
    book: Book,
    quotes: Mapping[str, Quote],
    ensemble: bool,
    now_us: int,
    max_age_us: int,
    *,
    with_lines: bool = True,
) -> Generator[None, None, Worth]:
    """The same with a pause after each `VALUATION_SLICE` positions, so that a loop turns. All positions are
    valued at the instant of the beginning. Without lines nothing is made that the garbage collector follows:
    thousands a second would have it walk through all that is known, again and again."""
    if len(book.positions) > valuation_limits.VALUATION_SLICE:
        quotes = dict(quotes)
    lines: list[Line] = []
    value = profit = spread = 0
    oldest_us = None
    for count, position in enumerate(book.positions, 1):
        quote = quotes.get(position.symbol)
        if quote is None:
            raise NoMarkError(book.name, unpriced(book, quotes, ensemble))
        agreed = quote.agreed
        price = quote.plain if not ensemble else None if agreed is None else agreed.price
        if price is None:
            raise NoMarkError(book.name, unpriced(book, quotes, ensemble))
        since_us = quote.seen.mark.since_us
        if oldest_us is None or since_us < oldest_us:
            oldest_us = since_us
        quantity, basis = position.quantity, position.basis
        own = price * quantity
        factor = quote.factor
        gained = None
        if basis is not None:
            gained = own - basis
            profit += gained * factor
        value += own * factor
        if ensemble:
            spread += agreed.spread * abs(quantity) * factor  # type: ignore[union-attr]
        if with_lines:
            lines.append(Line(position, quote, price, own, gained))
        if not count % valuation_limits.VALUATION_SLICE:
            yield
    if max_age_us and oldest_us is not None and now_us - oldest_us > max_age_us:
        raise _stale(book, quotes, oldest_us, now_us, max_age_us)
    return Worth(book, lines, value, profit, spread if ensemble else None, oldest_us)


def unpriced(book: Book, quotes: Mapping[str, Quote], ensemble: bool) -> list[str]:
    """The symbols of `book` that have no price."""
    missing = []
    for position in book.positions:
        quote = quotes.get(position.symbol)
        if quote is None or (quote.agreed if ensemble else quote.plain) is None:
            missing.append(position.symbol)
    return missing


def _stale(
    book: Book, quotes: Mapping[str, Quote], oldest_us: int, now_us: int, max_age_us: int
) -> StaleMarkError:
    symbols = (one.symbol for one in book.positions)
    symbol = next(one for one in symbols if quotes[one].mark.since_us == oldest_us)
    return StaleMarkError(book.name, symbol, (now_us - oldest_us) / 1_000_000, max_age_us / 1_000_000)
