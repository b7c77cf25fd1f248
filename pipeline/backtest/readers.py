"""Candle files: CSV by the standard library, Parquet where pyarrow is installed.

Every row is checked exactly as the gateway checks a posted candle; the first bad one ends the reading with
its line. Prices become integers without rounding, unless `rounded` asks for the nearest tick.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterable, Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import IO, Any

import msgspec

from pipeline import limits
from pipeline.backtest.assemble import Assembly, Findings
from pipeline.backtest.headings import Headings, headings
from pipeline.backtest.series import Series
from pipeline.backtest.times import time_of
from pipeline.errors import InvalidEventError, MissingError, UsageError
from pipeline.text import SymbolText
from pipeline.trading.decimals import decimal_text, scaled
from pipeline.trading.instruments import Instrument, Instruments

_TELL_EVERY = 4_096

Numbers = tuple[int, int, int, int, int, int]


def read_candles(
    file: Path,
    instruments: Instruments,
    symbol: str = "",
    *,
    rounded: bool = False,
    progress: Callable[[int], None] | None = None,
) -> tuple[dict[str, Series], Findings]:
    """The candles in `file`, one series a symbol; `symbol` names them where no column does.

    `progress` is told how many rows more are read. Raises MissingError when the file or pyarrow is missing
    and UsageError with the line for everything wrong in it.
    """
    try:
        reader = _Reader(instruments, _symbol(symbol or _stem(file)), rounded=rounded)
        if file.suffix.lower() in (".parquet", ".pq"):
            return reader.read(*_parquet(file), progress)
        with _opened(file) as text:
            rows = _numbered(csv.reader(text, _dialect(text), strict=True))
            _, names = next(rows, (0, []))
            return reader.read(names, rows, progress)
    except (UsageError, InvalidEventError) as error:
        raise UsageError(f"{file}: {error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file}: is no text in UTF-8") from None
    except csv.Error as error:
        raise UsageError(f"{file}: {error}") from None
    except OSError as error:
        raise MissingError(f"{file}: {error.strerror or error}") from None


class _Reader:
    def __init__(self, instruments: Instruments, symbol: str, *, rounded: bool) -> None:
        self._of = instruments.of
        self._symbol = symbol
        self._rounded = rounded

    def read(
        self,
        names: list[str],
        rows: Iterable[tuple[int, list[str]]],
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
        return assembly.finish()

    def _numbers(self, row: list[str], places: Headings, instrument: Instrument) -> tuple[str, Numbers]:
        text = row[places.time]
        if places.clock >= 0:
            text = f"{text} {row[places.clock]}"
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
        price = self._scaled(field, text, instrument.price_scale, instrument.tick, cut=self._rounded)
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


def _on_tick(price: int, tick: int) -> int:
    return round(Decimal(price) / tick) * tick if tick > 1 else price


def _stem(file: Path) -> str:
    """The symbol that a file's name suggests: `BTCUSDT-1m.csv.gz` → `BTCUSDT`."""
    name = file.name.partition(".")[0]
    for mark in "-_ ":
        name = name.partition(mark)[0]
    return name[:32] or "DATA"


def _opened(file: Path) -> IO[str]:
    if file.suffix.lower() == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return open(file, encoding="utf-8-sig", newline="")


def _dialect(text: IO[str]) -> type[csv.Dialect]:
    """Comma, semicolon or tab, whichever the heading has most of."""
    heading = text.readline()
    text.seek(0)
    best = max(",;\t", key=heading.count)

    class Found(csv.excel):
        delimiter = best

    return Found


def _numbered(rows: Any) -> Iterator[tuple[int, list[str]]]:
    """Each row of a CSV reader with the line on which it begins: a quote that nobody closes takes the rest
    of the file with it, and its end is far from where the mistake is."""
    begun = 1
    try:
        for row in rows:
            yield begun, row
            begun = rows.line_num + 1
    except csv.Error as error:
        told = str(error)
        if "unexpected end of data" in told or "field larger than field limit" in told:
            told = "a quote is opened and never closed"
        raise UsageError(f"line {begun}: {told}") from None


def _parquet(file: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise MissingError(
            f"{file}: Parquet needs pyarrow, which is not installed: pip install 'ringline[parquet]'"
        ) from None
    if not file.exists():
        raise MissingError(f"{file}: No such file or directory")
    try:
        source = parquet.ParquetFile(file)
    except (ArrowException, OSError) as error:
        raise UsageError(f"is no Parquet file: {str(error).splitlines()[0][:120]}") from None
    return list(source.schema_arrow.names), _parquet_rows(source)


def _parquet_rows(source: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows as text, numbered from 1; floats in their shortest form, which is what was meant."""
    line = 0
    for batch in source.iter_batches(batch_size=8_192):
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            line += 1
            yield line, ["" if value is None else _text(value) for value in values]


def _text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
