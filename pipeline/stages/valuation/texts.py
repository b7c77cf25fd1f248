"""What a quote and a position look like in an answer. Put together by hand, because a batch has thousands of
them; a test decodes every one strictly."""

from __future__ import annotations

from pipeline.stages.story import utc
from pipeline.trading.decimals import decimal_text
from pipeline.trading.instruments import Instrument
from pipeline.valuation.amounts import money_text
from pipeline.valuation.ensemble import CONFIDENCE_SCALE
from pipeline.valuation.quotes import Quote

_Text = tuple[Quote, str, str]


class QuoteTexts:
    """The part of a position's text that is the same in every book: made once a mark, when it comes. Of each
    symbol the newest two, for one is made before it is known."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[_Text, _Text]] = {}

    def prepare(self, quote: Quote) -> None:
        """A new quote of its symbol."""
        made = (quote, _plain(quote), _agreed(quote))
        known = self._texts.get(quote.seen.symbol)
        self._texts[quote.seen.symbol] = (made, made if known is None else known[0])

    def of(self, quote: Quote, ensemble: bool) -> str:
        """The text of `quote`, which may have been followed by other ones meanwhile."""
        for known in self._texts.get(quote.seen.symbol, ()):
            if known[0] is quote:
                return known[2] if ensemble else known[1]
        return _agreed(quote) if ensemble else _plain(quote)


def position_head(symbol: str, quantity: int, instrument: Instrument) -> str:
    """What never changes of a position."""
    return f'{{"symbol":"{symbol}","quantity":"{instrument.quantity_text(quantity)}","value":"'


def totals(name: str, amounts: tuple[int, int, int, int], spread: int | None, oldest_us: int) -> str:
    """A domain's sums, an object not yet closed. `amounts`: nav, cash, value, profit."""
    nav, cash, value, profit = map(money_text, amounts)
    spread_text = "null" if spread is None else f'"{money_text(spread)}"'
    oldest = f'"{utc(oldest_us)}"' if oldest_us else "null"
    return (
        f'{{"domain":"{name}","nav":"{nav}","cash":"{cash}","value":"{value}","profit":"{profit}",'
        f'"spread":{spread_text},"oldest_mark":{oldest}'
    )


def batch(at_us: int, ensemble: bool, nav: int, domains: list[list[bytes]]) -> bytes:
    """The whole answer, of the parts of each domain."""
    flag = "true" if ensemble else "false"
    head = f'{{"at":"{utc(at_us)}","ensemble":{flag},"nav":"{money_text(nav)}","domains":['
    parts = [head.encode()]
    for index, domain in enumerate(domains):
        parts += [b",", *domain] if index else domain
    parts.append(b"]}")
    return b"".join(parts)


def _plain(quote: Quote) -> str:
    price = "" if quote.plain is None else quote.instrument.price_text(quote.plain)
    return f'"price":"{price}","marked":"{utc(quote.mark.received_us)}"}}'


def _agreed(quote: Quote) -> str:
    agreed = quote.agreed
    if agreed is None:
        return ""
    price_text = quote.instrument.price_text
    return (
        f'"price":"{price_text(agreed.price)}","marked":"{utc(quote.mark.received_us)}",'
        f'"spread":"{price_text(agreed.spread)}",'
        f'"confidence":"{decimal_text(agreed.confidence, CONFIDENCE_SCALE)}"}}'
    )
