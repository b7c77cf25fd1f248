"""Valued books as JSON, at the cost of what has changed: a position's text is kept as long as its quote is.

Texts are put together by hand because a batch has thousands of them; a test decodes every one strictly.
"""

from __future__ import annotations

from collections.abc import Generator

from pipeline import limits
from pipeline.stages.story import utc
from pipeline.trading.decimals import decimal_text
from pipeline.valuation.amounts import money_text
from pipeline.valuation.book import Book
from pipeline.valuation.ensemble import CONFIDENCE_SCALE
from pipeline.valuation.nav import Line, Worth
from pipeline.valuation.quotes import Quote

_Texts = list[tuple[Quote, str]]


class Renderer:
    """Remembers the texts of kept books; of a book of the moment it remembers nothing."""

    def __init__(self) -> None:
        self._books: dict[tuple[str, bool], tuple[Book, _Texts]] = {}
        self._quotes: dict[tuple[str, bool], tuple[Quote, str]] = {}

    def forget(self, domain: str) -> None:
        """A domain was taken out."""
        for ensemble in (False, True):
            self._books.pop((domain, ensemble), None)

    def worth(self, found: Worth, *, positions: bool, keep: bool) -> Generator[None, None, str]:
        """One valued book; pauses as `nav.in_slices` does."""
        texts: list[str] = []
        if positions:
            texts = yield from self._positions(found, keep)
        spread = "null" if found.spread is None else f'"{money_text(found.spread)}"'
        oldest = "null" if found.oldest_us is None else f'"{utc(found.oldest_us)}"'
        head = (
            f'{{"domain":"{found.book.name}","nav":"{money_text(found.nav)}",'
            f'"cash":"{money_text(found.book.cash)}","value":"{money_text(found.value)}",'
            f'"profit":"{money_text(found.profit)}","spread":{spread},"oldest_mark":{oldest}'
        )
        return f'{head},"positions":[{",".join(texts)}]}}' if positions else head + "}"

    def _positions(self, found: Worth, keep: bool) -> Generator[None, None, list[str]]:
        ensemble = found.spread is not None
        known = self._known(found, ensemble) if keep else None
        texts: list[str] = []
        for index, line in enumerate(found.lines):
            if known is not None and known[index][0] is line.quote:
                texts.append(known[index][1])
                continue
            text = self._line(line, ensemble)
            texts.append(text)
            if known is not None:
                known[index] = (line.quote, text)
            if not (index + 1) % limits.VALUATION_SLICE:
                yield
        if keep and known is None:
            quotes = (line.quote for line in found.lines)
            kept = list(zip(quotes, texts, strict=True))
            self._books[found.book.name, ensemble] = (found.book, kept)
        return texts

    def _known(self, found: Worth, ensemble: bool) -> _Texts | None:
        book, texts = self._books.get((found.book.name, ensemble), (None, None))
        return texts if book is found.book else None

    def _line(self, line: Line, ensemble: bool) -> str:
        position, instrument = line.position, line.quote.instrument
        profit = "null" if line.profit is None else f'"{instrument.money_text(line.profit)}"'
        return (
            f'{{"symbol":"{position.symbol}","quantity":"{instrument.quantity_text(position.quantity)}",'
            f'"value":"{instrument.money_text(line.value)}","profit":{profit},'
            f"{self._quote(line.quote, ensemble)}}}"
        )

    def _quote(self, quote: Quote, ensemble: bool) -> str:
        """What is the same for all positions in a symbol, until its next mark."""
        key = (quote.seen.symbol, ensemble)
        known = self._quotes.get(key)
        if known is not None and known[0] is quote:
            return known[1]
        text = _priced(quote, ensemble)
        self._quotes[key] = (quote, text)
        return text


def _priced(quote: Quote, ensemble: bool) -> str:
    price_text = quote.instrument.price_text
    marked = utc(quote.mark.received_us)
    agreed = quote.agreed
    if not ensemble or agreed is None:
        assert quote.plain is not None
        return f'"price":"{price_text(quote.plain)}","marked":"{marked}"'
    return (
        f'"price":"{price_text(agreed.price)}","marked":"{marked}","spread":"{price_text(agreed.spread)}",'
        f'"low":"{price_text(agreed.low)}","high":"{price_text(agreed.high)}",'
        f'"models":"{agreed.answered}/{agreed.asked}",'
        f'"confidence":"{decimal_text(agreed.confidence, CONFIDENCE_SCALE)}"'
    )


def batch(at_us: int, ensemble: bool, nav: int, domains: list[str]) -> bytes:
    """The whole answer."""
    flag = "true" if ensemble else "false"
    head = f'{{"at":"{utc(at_us)}","ensemble":{flag},"nav":"{money_text(nav)}","domains":['
    return (head + ",".join(domains) + "]}").encode()
