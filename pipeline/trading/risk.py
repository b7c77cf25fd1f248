"""Risk limits of one symbol: what may be entered. Exits always pass, so nothing here is asked of them.

The day's profit is that of the agent: intended positions, marked at closes, before commission and slippage,
from one midnight UTC to the next. It is known when it is needed, on every worker alike.
"""

from __future__ import annotations

import re
from fractions import Fraction

from msgspec import Struct

from pipeline.clock import US_PER_S
from pipeline.config import schema
from pipeline.errors import ConfigError
from pipeline.trading.decimals import configured, decimal_text, fraction
from pipeline.trading.instruments import Instrument
from pipeline.trading.reasons import Reason, describe

DAY_US = 86_400 * US_PER_S
_MINUTE_US = 60 * US_PER_S
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH_DAY = 3
"""1 January 1970 was a Thursday."""
_SESSION = re.compile(r"^(?:([a-z]{3})-([a-z]{3}) )?([0-2]\d):([0-5]\d)-([0-2]\d):([0-5]\d)$")


class Session(Struct, frozen=True):
    """When entries may be made, in UTC: days of the week (0 Monday) and minutes of the day, ends included.
    One whose end is before its start goes over midnight and belongs to the day of its start."""

    text: str
    first_day: int
    last_day: int
    start: int
    end: int

    def open_at(self, now_us: int) -> bool:
        day, rest = divmod(now_us, DAY_US)
        if self.start <= self.end:
            return self._on(day) and self.start * _MINUTE_US <= rest <= self.end * _MINUTE_US
        if rest >= self.start * _MINUTE_US:
            return self._on(day)
        return rest <= self.end * _MINUTE_US and self._on(day - 1)

    def _on(self, day: int) -> bool:
        weekday = (day + _EPOCH_DAY) % 7
        if self.first_day <= self.last_day:
            return self.first_day <= weekday <= self.last_day
        return weekday >= self.first_day or weekday <= self.last_day


class RiskLimits(Struct, frozen=True):
    """Compiled for one instrument; 0 and None switch a limit off. `collar` is a share of the last close."""

    instrument: Instrument
    max_order: int
    max_position: int
    max_daily_loss: int
    collar: Fraction
    session: Session | None

    @property
    def active(self) -> bool:
        return bool(self.max_order or self.max_position or self.max_daily_loss or self.collar or self.session)

    def refusals(
        self, *, now_us: int, quantity: int, target: int, price: int, close: int, day_profit: int
    ) -> list[str]:
        """Why an entry of `quantity` at `price`, to the position `target`, may not be; `close` is the last
        one before it (0: none known)."""
        reasons = []
        instrument = self.instrument
        if self.session is not None and not self.session.open_at(now_us):
            reasons.append(describe(Reason.RISK_SESSION, open=self.session.text.replace(" ", "_")))
        if self.max_order and quantity > self.max_order:
            reasons.append(_quantities(Reason.RISK_MAX_ORDER, instrument, quantity, self.max_order))
        if self.max_position and abs(target) > self.max_position:
            reasons.append(_quantities(Reason.RISK_MAX_POSITION, instrument, target, self.max_position))
        if self.collar and close and abs(price - close) > close * self.collar:
            text = instrument.price_text
            reasons.append(describe(Reason.RISK_PRICE_COLLAR, price=text(price), close=text(close)))
        if self.max_daily_loss and -day_profit >= self.max_daily_loss:
            lost, limit = (
                decimal_text(amount, instrument.money_scale) for amount in (-day_profit, self.max_daily_loss)
            )
            reasons.append(describe(Reason.RISK_DAILY_LOSS, lost=lost, limit=limit))
        return reasons


def compile_limits(section: schema.Risk, session_text: str, instrument: Instrument) -> RiskLimits:
    """Amounts finer than the instrument's scale are rounded down: what does not fit is not allowed."""
    return RiskLimits(
        instrument=instrument,
        max_order=_counted(section.max_order, instrument.quantity_scale),
        max_position=_counted(section.max_position, instrument.quantity_scale),
        max_daily_loss=_counted(section.max_daily_loss, instrument.money_scale),
        collar=fraction(section.price_collar_percent) / 100,
        session=session_of(session_text) if session_text else None,
    )


def session_of(text: str) -> Session:
    """`mon-fri 14:30-21:00` or `08:00-20:00`, UTC. Raises ConfigError."""
    found = _SESSION.match(text)
    days = found.group(1, 2) if found else ()
    known = all(day is None or day in _DAYS for day in days)
    if found is None or not known:
        raise ConfigError([f"session = {text!r}: expected such as 'mon-fri 14:30-21:00', in UTC"])
    start, end = (60 * int(found[hour]) + int(found[hour + 1]) for hour in (3, 5))
    if max(start, end) > 24 * 60:
        raise ConfigError([f"session = {text!r}: a day ends at 24:00"])
    first, last = (_DAYS.index(day) if day else default for day, default in zip(days, (0, 6), strict=True))
    return Session(text, first, last, start, end)


def _counted(text: str, scale: int) -> int:
    """A limit in units; one that is set and below the smallest unit allows nothing but that unit."""
    return max(configured(text, scale), 1) if fraction(text) else 0


def _quantities(reason: Reason, instrument: Instrument, wanted: int, limit: int) -> str:
    text = instrument.quantity_text
    return describe(reason, wanted=text(wanted), limit=text(limit))
