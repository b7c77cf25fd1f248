"""Candle files: rows of text → series of exact integers.

Every row is checked exactly as the gateway checks a posted candle; the first bad one ends the reading with
its line. Prices become integers without rounding, unless `rounded` asks for the nearest tick.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import msgspec

from pipeline import limits
from pipeline.backtest.assemble import Assembly, Findings
from pipeline.backtest.candle_files import Row, opened
from pipeline.backtest.date_order import WORDS, DateOrder, as_iso, is_slashed, order_of
from pipeline.backtest.headings import Headings, headings
from pipeline.backtest.series import Series
from pipeline.backtest.times import time_of
from pipeline.errors import InvalidEventError, UsageError
from pipeline.text import SymbolText
from pipeline.trading.decimals import decimal_text, scaled
from pipeline.trading.instruments import Instrument, Instruments

_TELL_EVERY = 4_096
_DOLLARS = re.compile(r"^\$[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?$")

Numbers = tuple[int, int, int, int, int, int]


def read_candles(
    file: Path,
    instruments: Instruments,
    symbol: str = "",
    *,
    rounded: bool = False,
    date_order: DateOrder | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[dict[str, Series], Findings]:
    """The candles in `file`, one series a symbol; `symbol` names them where no column does.

    `date_order` is that of dates such as 01/02/2024; None: the column has to tell. `progress` is told how
    many rows more are read. Raises MissingError when the file or pyarrow is missing and UsageError with the
    line for everything wrong in it.
    """

    def order() -> tuple[DateOrder, str]:
        if date_order is not None:
            return date_order, "asked for"
        with opened(file) as (names, rows):
            return order_of(names, _times(headings(names).time, rows))

    try:
        reader = _Reader(instruments, _symbol(symbol or _stem(file)), order, rounded=rounded)
        with opened(file) as (names, rows):
            return reader.read(names, rows, progress)
    except (UsageError, InvalidEventError) as error:
        raise UsageError(f"{file}: {error}") from None


def _times(place: int, rows: Iterable[Row]) -> Iterator[tuple[int, str]]:
    for line, row in rows:
        if place < len(row):
            yield line, row[place]


class _Reader:
    def __init__(
        self,
        instruments: Instruments,
        symbol: str,
        find_order: Callable[[], tuple[DateOrder, str]],
        *,
        rounded: bool,
    ) -> None:
        self._of = instruments.of
        self._symbol = symbol
        self._find_order = find_order
        self._order: tuple[DateOrder, str] | None = None
        self._rounded = rounded

    def read(
        self,
        names: list[str],
        rows: Iterable[Row],
        progress: Callable[[int], None] | None,
    ) -> tuple[dict[str, Series], Findings]:
        if not names:
            raise UsageError("is empty")
        places = headings(names)
        assembly = Assembly()
        count = 0
        for line, row in rows:
            if not row:
                continue
            if self._order is None and is_slashed(row[places.time] if places.time < len(row) else ""):
                self._order = self._find_order()
            try:
                if len(row) < len(names) or any(row[len(names) :]):
                    raise UsageError(f"{len(row)} columns; the heading has {len(names)}")
                symbol = _symbol(row[places.symbol]) if places.symbol >= 0 else self._symbol
                written, numbers = self._numbers(row, places, self._of(symbol))
                assembly.add(line, symbol, written, numbers)
            except (InvalidEventError, UsageError) as error:
                raise UsageError(f"line {line}: {error}") from None
            count += 1
            if progress is not None and not count % _TELL_EVERY:
                progress(_TELL_EVERY)
        if not count:
            raise UsageError("has a heading and no candles")
        if places.volume < 0:
            assembly.notes.append("there is no volume column; every volume is 0")
        if self._order is not None:
            order, why = self._order
            assembly.notes.append(f"dates are {WORDS[order]}: {why}")
        return assembly.finish()

    def _numbers(self, row: list[str], places: Headings, instrument: Instrument) -> tuple[str, Numbers]:
        text = row[places.time]
        if places.clock >= 0:
            text = f"{text} {row[places.clock]}"
        if self._order is not None and is_slashed(text):
            text = as_iso(text, self._order[0])
        time_us, written = time_of(text)
        if not row[places.close].strip() or row[places.close].strip().lower() in ("null", "nan"):
            raise InvalidEventError("close", f"{row[places.close]!r} is not a decimal number such as 101.25")
        opened = self._price("open", row[places.open], instrument)
        high = self._price("high", row[places.high], instrument)
        low = self._price("low", row[places.low], instrument)
        close = self._price("close", row[places.close], instrument)
        if not (low <= opened <= high and low <= close <= high):
            texts = ", ".join(row[place] for place in places[1:5])
            raise InvalidEventError(
                "open, high, low, close", f"{texts}: open and close must be between low and high"
            )
        volume = 0
        if places.volume >= 0:
            # A volume is for information: digits finer than its scale are cut.
            volume = self._scaled("volume", row[places.volume], instrument.quantity_scale, 1, cut=True)
            if volume < 0:
                raise InvalidEventError("volume", f"{row[places.volume]!r} is negative; the least is 0")
        return written, (time_us, opened, high, low, close, volume)

    def _price(self, field: str, text: str, instrument: Instrument) -> int:
        price = self._scaled(field, _plain(text), instrument.price_scale, instrument.tick, cut=self._rounded)
        if price <= 0:
            raise InvalidEventError(field, f"{text!r} must be positive")
        if price % instrument.tick:
            raise InvalidEventError(
                field,
                f"{text!r} is not a multiple of the tick {instrument.price_text(instrument.tick)} "
                "(--round takes the nearest)",
            )
        return price

    def _scaled(self, field: str, text: str, scale: int, tick: int, *, cut: bool) -> int:
        text = text.strip()
        try:
            return _on_tick(scaled(field, text, scale), tick) if cut else scaled(field, text, scale)
        except InvalidEventError as error:
            if "e" not in text.lower() and not (cut and "decimals" in str(error)):
                hint = " (--round takes the nearest tick)" if str(error).endswith("decimals") else ""
                raise InvalidEventError(field, f"{error.detail}{hint}") from None
        try:
            units = Decimal(text).scaleb(scale) / tick
        except (ArithmeticError, ValueError):
            raise InvalidEventError(field, f"{text[:48]!r} is not a decimal number such as 101.25") from None
        if not abs(units) <= limits.MAX_SCALED:
            most = decimal_text(limits.MAX_SCALED, scale)
            raise InvalidEventError(
                field, f"{text[:48]!r} is beyond the limit of {most} for {scale} decimals"
            )
        whole = units.to_integral_value(ROUND_HALF_EVEN)
        if not cut and whole != units:
            raise InvalidEventError(field, f"{text!r} has more than {scale} decimals (--round cuts them)")
        return scaled(field, decimal_text(int(whole) * tick, scale), scale)


def _symbol(text: str) -> str:
    """A symbol as the gateway takes one."""
    try:
        return msgspec.convert(text.strip(), SymbolText)
    except msgspec.ValidationError:
        raise InvalidEventError(
            "symbol",
            f"{text[:48]!r} is none: 1 to {limits.MAX_SYMBOL_CHARS} letters, digits and . _ / : = ^ -",
        ) from None


def _plain(text: str) -> str:
    """`$1,184.40` → `1184.40`: behind a dollar sign a comma is no decimal one."""
    text = text.strip()
    if not text.startswith("$"):
        return text
    return text[1:].replace(",", "") if _DOLLARS.match(text) else text[1:]


def _on_tick(price: int, tick: int) -> int:
    return round(Decimal(price) / tick) * tick if tick > 1 else price


def _stem(file: Path) -> str:
    """The symbol that a file's name suggests: `BTCUSDT-1m.csv.gz` → `BTCUSDT`."""
    name = file.name.partition(".")[0]
    for mark in "-_ ":
        name = name.partition(mark)[0]
    return name[:32] or "DATA"
