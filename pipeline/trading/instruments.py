"""How each symbol is counted, and the one door from posted text to exact integers and back."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from pipeline import limits
from pipeline.clock import US_PER_S
from pipeline.config import schema
from pipeline.errors import ConfigError, InvalidEventError
from pipeline.messages import BUY, SELL, Candle, CandleIn, Control, Event, EventIn, Signal, SignalIn
from pipeline.trading.decimals import configured, decimal_text, fraction, scaled

DEFAULT = "default"
"""The instrument that serves every symbol without one of its own."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_PER_DAY = 86_400
_SIDES = {"buy": BUY, "sell": SELL, "close": 0}


class Instrument(Struct, frozen=True):
    """How a symbol is counted, in scaled integers: `tick` in price units, `lot` in quantity units."""

    price_scale: int
    quantity_scale: int
    tick: int
    lot: int
    session: str = ""

    @property
    def money_scale(self) -> int:
        """Decimals of price × quantity: notional, commission, profit and loss."""
        return self.price_scale + self.quantity_scale

    def price_text(self, price: int) -> str:
        return decimal_text(price, self.price_scale)

    def quantity_text(self, quantity: int) -> str:
        return decimal_text(quantity, self.quantity_scale)

    def money_text(self, money: int) -> str:
        return decimal_text(money, self.money_scale)


class Instruments:
    """The instruments of a configuration.

    Raises ConfigError with every fault when a tick or lot is no positive multiple of its scale's unit or
    the default is missing.
    """

    __slots__ = ("_default", "_named", "_of", "counted", "counted_default")

    def __init__(self, trading: schema.Trading) -> None:
        faults: list[str] = []
        self._named = {
            name: _instrument(name, section, faults) for name, section in trading.instruments.items()
        }
        if DEFAULT not in self._named:
            faults.append(f"trading.instruments.{DEFAULT}: missing; it serves every symbol not named")
        if faults:
            raise ConfigError(faults)
        self._default = self._named.pop(DEFAULT)
        self._of = self._named.get
        self.counted = {name: _counted(instrument) for name, instrument in self._named.items()}
        self.counted_default = _counted(self._default)
        """What a reader in C needs of each instrument and of the default: price scale, quantity scale,
        tick."""

    @property
    def named(self) -> tuple[str, ...]:
        """Symbols with an instrument of their own, sorted."""
        return tuple(sorted(self._named))

    def of(self, symbol: str) -> Instrument:
        """The instrument of `symbol`; every symbol has one."""
        return self._of(symbol, self._default)

    def inside(self, event_in: EventIn) -> Event:
        """The posted event in exact integers.

        Raises InvalidEventError naming the field, its value and the limit, tick or lot that it breaks.
        """
        kind = type(event_in)
        if kind is CandleIn:
            return self._candle(event_in)  # type: ignore[arg-type]
        if kind is SignalIn:
            return self._signal(event_in)  # type: ignore[arg-type]
        return Control(event_in.action.value, event_in.reason)  # type: ignore[union-attr]

    def _candle(self, posted: CandleIn) -> Candle:
        instrument = self._of(posted.symbol, self._default)
        opened = _price("open", posted.open, instrument)
        high = _price("high", posted.high, instrument)
        low = _price("low", posted.low, instrument)
        close = _price("close", posted.close, instrument)
        volume = scaled("volume", posted.volume, instrument.quantity_scale)
        if volume < 0:
            raise InvalidEventError("volume", f"{posted.volume!r} is negative; the least is 0")
        if not (low <= opened <= high and low <= close <= high):
            raise _disorder(posted, low, opened, high)
        return Candle(posted.symbol, microseconds("time", posted.time), opened, high, low, close, volume)

    def _signal(self, posted: SignalIn) -> Signal:
        instrument = self._of(posted.symbol, self._default)
        side = _SIDES.get(posted.side)
        if side is None:
            raise InvalidEventError("side", f"{posted.side!r} is none of {', '.join(_SIDES)}")
        quantity = price = 0
        if posted.quantity is not None:
            quantity = scaled("quantity", posted.quantity, instrument.quantity_scale)
            if quantity <= 0:
                raise InvalidEventError("quantity", f"{posted.quantity!r} must be positive")
            if quantity % instrument.lot:
                lot = instrument.quantity_text(instrument.lot)
                raise InvalidEventError("quantity", f"{posted.quantity!r} is not a multiple of the lot {lot}")
        if posted.price is not None:
            price = _price("price", posted.price, instrument)
        return Signal(posted.symbol, posted.strategy, side, quantity, price)


def _counted(instrument: Instrument) -> tuple[int, int, int]:
    return (instrument.price_scale, instrument.quantity_scale, instrument.tick)


def microseconds(field: str, text: str) -> int:
    """RFC 3339 text with an offset → microseconds since the epoch (UTC); finer digits are rounded.

    Raises InvalidEventError naming `field` for anything else, before 1970 or after 2100: such a time is a
    mistake in the unit.
    """
    try:
        moment = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        raise InvalidEventError(
            field, f"{text[:64]!r} is not an RFC 3339 time such as 2024-05-01T16:00:00-04:00"
        ) from None
    if moment.tzinfo is None:
        raise InvalidEventError(field, f"{text!r} has no offset from UTC; end it with Z or such as -04:00")
    since = moment - _EPOCH
    time_us = (since.days * _SECONDS_PER_DAY + since.seconds) * US_PER_S + since.microseconds
    if not 0 <= time_us <= limits.MAX_EVENT_TIME_US:
        raise InvalidEventError(field, f"{text!r} is not between 1970-01-01 and 2100-01-01")
    return time_us


def _price(field: str, text: str, instrument: Instrument) -> int:
    price = scaled(field, text, instrument.price_scale)
    if price <= 0:
        raise InvalidEventError(field, f"{text!r} must be positive")
    if price % instrument.tick:
        tick = instrument.price_text(instrument.tick)
        raise InvalidEventError(field, f"{text!r} is not a multiple of the tick {tick}")
    return price


def _disorder(posted: CandleIn, low: int, opened: int, high: int) -> InvalidEventError:
    if low > high:
        return InvalidEventError("low", f"{posted.low!r} is above high {posted.high!r}")
    field, text = ("close", posted.close) if low <= opened <= high else ("open", posted.open)
    return InvalidEventError(field, f"{text!r} is outside low {posted.low!r} to high {posted.high!r}")


def _instrument(name: str, section: schema.Instrument, faults: list[str]) -> Instrument:
    steps = []
    for field, text, scale in (
        ("tick", section.tick, section.price_scale),
        ("lot", section.lot, section.quantity_scale),
    ):
        step = fraction(text) * 10**scale
        if step.denominator != 1 or not 0 < step <= limits.MAX_SCALED:
            faults.append(
                f"trading.instruments.{name}.{field} = {text!r}: must be a positive multiple of 10^-{scale}, "
                "the scale of this instrument"
            )
        steps.append(configured(text, scale))
    tick, lot = steps
    return Instrument(section.price_scale, section.quantity_scale, tick, lot, section.session)
