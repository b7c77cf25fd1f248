"""The newest mark of every symbol, and what the models make of it: computed when a mark comes, never when a
book is valued."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from pipeline import valuation_limits
from pipeline.config import schema
from pipeline.config.valuation import Valuation
from pipeline.errors import ConfigError, InvalidEventError
from pipeline.messages import Candle
from pipeline.trading.instruments import Instrument, Instruments
from pipeline.valuation.amounts import to_money
from pipeline.valuation.ensemble import Agreement, agree
from pipeline.valuation.model import HUNG, OVERLONG, Answer, PricingModel, ask
from pipeline.valuation.models import compile_models

log = logging.getLogger(__name__)

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


class Seen(Struct, frozen=True, array_like=True):
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


class Quote(Struct, frozen=True):
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
    """The models of a configuration. Raises ConfigError when one cannot be loaded."""

    def __init__(self, valuation: Valuation) -> None:
        try:
            self._models: dict[str, PricingModel] = compile_models(valuation.models)
        except ValueError as error:
            raise ConfigError([str(error)]) from None
        self._plain = valuation.model
        self._strikes: dict[str, int] = {}
        self.left_out: dict[str, str] = {}
        """Models that are not asked any more, and why."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._models)

    def quote(self, seen: Seen, instrument: Instrument) -> Quote:
        """Asks every model."""
        history = seen.history
        answers = tuple(
            self._ask(name, model, seen.mark.price, history) for name, model in self._models.items()
        )
        plain = next((answer.price for answer in answers if answer.model == self._plain), None)
        factor = to_money(instrument.money_scale)
        return Quote(seen, instrument, answers, plain, agree(answers, seen.mark.price), factor)

    def _ask(self, name: str, model: PricingModel, mark: int, history: Sequence[Candle]) -> Answer:
        if (reason := self.left_out.get(name)) is not None:
            return Answer(name, None, reason)
        answer = ask(name, model, mark, history)
        if answer.price is None and answer.fault:
            self._count(answer)
        return answer

    def _count(self, answer: Answer) -> None:
        """A fault that costs the event loop its time is borne a few times only."""
        if answer.fault == HUNG:
            self.left_out[answer.model] = answer.fault
        elif answer.fault == OVERLONG:
            strikes = self._strikes[answer.model] = self._strikes.get(answer.model, 0) + 1
            if strikes >= valuation_limits.MAX_MODEL_STRIKES:
                self.left_out[answer.model] = f"{OVERLONG}, {strikes} times: left out until a restart"
                log.error("valuation.models.%s: %s", answer.model, self.left_out[answer.model])


class Quotes:
    """The quote of every symbol that was ever marked."""

    def __init__(
        self,
        valuation: Valuation,
        trading: schema.Trading,
        on_quote: Callable[[Quote], None] = lambda _: None,
    ) -> None:
        """`on_quote` is told of every new quote. Raises ConfigError."""
        self._on_quote = on_quote
        self.version = 0
        """Grows with every change of any quote."""
        self._pricing = Pricing(valuation)
        self._instruments = Instruments(trading)
        self._most_bars = valuation.history_bars
        self._quotes: dict[str, Quote] = {}
        self._changed: set[str] = set()

    @property
    def by_symbol(self) -> Mapping[str, Quote]:
        """Live: it changes with every mark."""
        return self._quotes

    @property
    def models(self) -> tuple[str, ...]:
        return self._pricing.names

    @property
    def left_out(self) -> Mapping[str, str]:
        """Models that are not asked any more, and why."""
        return self._pricing.left_out

    @property
    def instruments(self) -> Instruments:
        return self._instruments

    def candle(self, candle: Candle, received_us: int) -> bool:
        """A closed bar; False for one that is not later than the last bar, which changes nothing."""
        known = self._quotes.get(candle.symbol)
        bars: tuple[Candle, ...] = ()
        mark = Mark(candle.close, candle.time_us, received_us)
        if known is not None:
            bars = known.seen.bars
            if bars and candle.time_us <= bars[-1].time_us:
                return False
            if known.mark.time_us > candle.time_us:
                mark = known.mark
        self._keep(Seen(candle.symbol, mark, (*bars, candle)[-self._most_bars :]))
        return True

    def post(self, symbol: str, price: int, time_us: int, received_us: int) -> None:
        """A mark that somebody names. Raises InvalidEventError when a later one is known."""
        known = self._quotes.get(symbol)
        if known is not None and known.mark.time_us > time_us:
            raise InvalidEventError("time", f"{symbol} has a later mark already")
        bars = known.seen.bars if known is not None else ()
        self._keep(Seen(symbol, Mark(price, time_us, received_us, POSTED), bars))

    def restore(self, seen: Iterable[Seen]) -> None:
        """What a snapshot remembered; the models of today are asked."""
        for one in seen:
            bars = one.bars[-self._most_bars :]
            kept = one if len(bars) == len(one.bars) else Seen(one.symbol, one.mark, bars)
            self._set(kept)

    def forget(self) -> None:
        """Begin anew: the audit that marks came from is another one."""
        self._quotes.clear()
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

    def _keep(self, seen: Seen) -> None:
        self._set(seen)
        self._changed.add(seen.symbol)

    def _set(self, seen: Seen) -> None:
        quote = self._pricing.quote(seen, self._instruments.of(seen.symbol))
        self._quotes[seen.symbol] = quote
        self.version += 1
        self._on_quote(quote)
