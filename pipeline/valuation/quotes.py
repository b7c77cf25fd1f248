"""The newest mark of every symbol, and what the models make of it: computed when a mark comes, never when a
book is valued."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from pipeline.config import schema
from pipeline.config.valuation import Valuation
from pipeline.errors import InvalidEventError
from pipeline.messages import Candle
from pipeline.trading.instruments import Instrument, Instruments
from pipeline.valuation.amounts import to_money
from pipeline.valuation.ensemble import Agreement, agree
from pipeline.valuation.model import Answer, ask
from pipeline.valuation.models import CUSTOM, compile_models

_NOBODY: Mapping[str, Answer] = {}

CANDLE, POSTED = "candle", "posted"


class Mark(Struct, frozen=True, array_like=True, gc=False):
    """A price that was seen. `time_us` is the market's time of it, `received_us` when it was told, both µs
    since the epoch; `source` is CANDLE or POSTED."""

    price: int
    time_us: int
    received_us: int
    source: str = CANDLE

    @property
    def since_us(self) -> int:
        """What its age counts from. A posted one's own time, where that is earlier; a candle's is the
        market's, which closes, and history is played: there it is when it was told."""
        return min(self.time_us, self.received_us) if self.source == POSTED else self.received_us


class Seen(Struct, frozen=True, array_like=True, gc=False):
    """All that is remembered of a symbol, oldest bar first: enough to ask every model again."""

    symbol: str
    mark: Mark
    bars: tuple[Candle, ...] = ()

    @property
    def history(self) -> tuple[Candle, ...]:
        """What models price from: the bars, and a mark posted after them as one more, with the volume of the
        one before (1 at least), so that no model prices from what is older than the mark alone. None where
        there are no bars: a mark is no history."""
        if self.mark.source != POSTED or not self.bars:
            return self.bars
        price, volume = self.mark.price, max(1, self.bars[-1].volume)
        return (*self.bars, Candle(self.symbol, self.mark.time_us, price, price, price, price, volume))


class Quote(Struct, frozen=True, gc=False):
    """A symbol's mark with every model's answer to it. `plain` is what one unit is worth with the ensemble
    off, `agreed` with it on; None where no model that counts gave a price."""

    seen: Seen
    instrument: Instrument
    answers: tuple[Answer, ...]
    plain: int | None
    agreed: Agreement | None
    factor: int
    """What amounts of its instrument are multiplied by in sums."""

    @property
    def mark(self) -> Mark:
        return self.seen.mark


class Pricing:
    """The models of a configuration. Those that come with the product are asked here, a user's own elsewhere:
    this process has no time to wait for them."""

    def __init__(self, valuation: Valuation) -> None:
        shipped = {name: model for name, model in valuation.models.items() if model.kind != CUSTOM}
        self._models = compile_models(shipped)
        self.names = tuple(sorted(valuation.models))
        self._plain = valuation.model

    def quote(self, seen: Seen, instrument: Instrument, users: Mapping[str, Answer] = _NOBODY) -> Quote:
        """Asks every model; `users` are the answers of the user's own."""
        mark, history = seen.mark.price, seen.history
        answers = tuple(
            users.get(name, Answer(name, None)) if model is None else ask(name, model, mark, history)
            for name, model in ((name, self._models.get(name)) for name in self.names)
        )
        plain = next((answer.price for answer in answers if answer.model == self._plain), None)
        factor = to_money(instrument.money_scale)
        return Quote(seen, instrument, answers, plain, agree(answers, mark), factor)


class Quotes:
    """The quote of every symbol that was ever marked.

    `after_candles` and `after_mark` say what would be known, `priced` what the models make of it, and `keep`
    makes it known: all of it at once.
    """

    def __init__(
        self,
        valuation: Valuation,
        trading: schema.Trading,
        on_quote: Callable[[Quote], None] = lambda _: None,
    ) -> None:
        """`on_quote` is told of every new quote, before it is kept."""
        self._on_quote = on_quote
        self.version = 0
        """Grows with every change of any quote."""
        self._pricing = Pricing(valuation)
        self._instruments = Instruments(trading)
        self._most_bars = valuation.history_bars
        self._quotes: dict[str, Quote] = {}
        self._symbols: list[str] = []
        self._changed: set[str] = set()

    @property
    def by_symbol(self) -> Mapping[str, Quote]:
        """Live: it changes with every mark."""
        return self._quotes

    @property
    def models(self) -> tuple[str, ...]:
        return self._pricing.names

    @property
    def instruments(self) -> Instruments:
        return self._instruments

    def symbols_after(self, symbol: str, most: int) -> list[str]:
        """Marked symbols in their order, those behind `symbol`."""
        first = bisect_right(self._symbols, symbol)
        return self._symbols[first : first + most]

    def after_candles(self, candles: Iterable[Candle], received_us: int) -> tuple[list[Seen], int]:
        """What would be remembered of each symbol after these closed bars, and how many of them count: one
        that is not later than the bar before it does not."""
        bars: dict[str, list[Candle]] = {}
        taken = 0
        for candle in candles:
            of_symbol = bars.get(candle.symbol)
            if of_symbol is None:
                known = self._quotes.get(candle.symbol)
                of_symbol = bars[candle.symbol] = [] if known is None else list(known.seen.bars)
            if not of_symbol or candle.time_us > of_symbol[-1].time_us:
                of_symbol.append(candle)
                taken += 1
        return [
            found for symbol in bars if (found := self._followed(symbol, bars[symbol], received_us))
        ], taken

    def _followed(self, symbol: str, bars: list[Candle], received_us: int) -> Seen | None:
        """None where no bar has come."""
        known, last = self._quotes.get(symbol), bars[-1]
        mark = Mark(last.close, last.time_us, received_us)
        if known is not None:
            if known.seen.bars and known.seen.bars[-1] is last:
                return None
            if known.mark.time_us > last.time_us:
                mark = known.mark
        return Seen(symbol, mark, tuple(bars[-self._most_bars :]))

    def after_mark(self, symbol: str, price: int, time_us: int, received_us: int) -> Seen:
        """What would be remembered after a mark that somebody names. Raises InvalidEventError when a later
        one is known."""
        known = self._quotes.get(symbol)
        if known is not None and known.mark.time_us > time_us:
            raise InvalidEventError("time", f"{symbol} has a later mark already")
        bars = known.seen.bars if known is not None else ()
        return Seen(symbol, Mark(price, time_us, received_us, POSTED), bars)

    def kept_before(self, seen: Seen) -> Seen:
        """What a snapshot remembered, with as many bars as are kept today."""
        bars = seen.bars[-self._most_bars :]
        return seen if len(bars) == len(seen.bars) else Seen(seen.symbol, seen.mark, bars)

    def priced(self, seen: Seen, users: Mapping[str, Answer] = _NOBODY) -> Quote:
        """Not kept yet."""
        quote = self._pricing.quote(seen, self._instruments.of(seen.symbol), users)
        self._on_quote(quote)
        return quote

    def keep(self, quotes: Iterable[Quote], *, changed: bool = True) -> None:
        """From now on these are the quotes of their symbols; `changed`: a snapshot has to store them."""
        by_symbol = {quote.seen.symbol: quote for quote in quotes}
        if new := by_symbol.keys() - self._quotes.keys():
            self._symbols += sorted(new)
            self._symbols.sort()  # of two sorted parts: one pass
        self._quotes.update(by_symbol)
        if changed:
            self._changed.update(by_symbol)
        self.version += 1

    def candle(self, candle: Candle, received_us: int) -> bool:
        """One closed bar, at once; False for one that changes nothing."""
        seen, taken = self.after_candles((candle,), received_us)
        self.keep([self.priced(one) for one in seen])
        return bool(taken)

    def post(self, symbol: str, price: int, time_us: int, received_us: int) -> None:
        """One mark, at once. Raises InvalidEventError."""
        self.keep([self.priced(self.after_mark(symbol, price, time_us, received_us))])

    def restore(self, seen: Iterable[Seen]) -> None:
        """What a snapshot remembered, at once; the models of today are asked."""
        self.keep([self.priced(self.kept_before(one)) for one in seen], changed=False)

    def forget(self) -> None:
        """Begin anew: the audit that marks came from is another one."""
        self._quotes.clear()
        self._symbols.clear()
        self.version += 1
        self._changed.clear()

    def take_changed(self) -> list[Seen]:
        """What has changed since this was last asked."""
        changed = [self._quotes[symbol].seen for symbol in self._changed]
        self._changed.clear()
        return changed

    def give_back(self, seen: Sequence[Seen]) -> None:
        """What was taken could not be stored: it counts as changed again."""
        self._changed.update(one.symbol for one in seen if one.symbol in self._quotes)
