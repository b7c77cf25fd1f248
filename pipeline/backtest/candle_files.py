"""Files as numbered rows of text: CSV by the standard library, Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from pipeline.errors import MissingError, UsageError

Row = tuple[int, list[str]]
"""The line on which it begins, and its fields. Rows of Parquet are numbered from 1."""

_NARROW: dict[str, Callable[[Any], Any]] = {"float": np.float32, "halffloat": np.float16}
"""pyarrow's floats that are shorter than Python's, by the names of their types."""


@contextmanager
def opened(file: Path) -> Iterator[tuple[list[str], Iterator[Row]]]:
    """(headings, rows). Raises MissingError when the file or pyarrow is missing, and UsageError with the line
    for what is no such file, also while rows are read."""
    try:
        if file.suffix.lower() in (".parquet", ".pq"):
            yield _parquet(file)
            return
        with _text(file) as text:
            rows = _numbered(csv.reader(text, _dialect(text), strict=True))
            _, names = next(rows, (0, []))
            yield names, rows
    except UnicodeDecodeError:
        raise UsageError(f"line {_undecodable(file)}: is no text in UTF-8") from None
    except csv.Error as error:
        raise UsageError(str(error)) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(_damage(error)) from None
    except OSError as error:
        raise MissingError(f"{file}: {error.strerror or error}") from None


def _text(file: Path) -> IO[str]:
    return io.TextIOWrapper(_bytes(file), encoding="utf-8-sig", newline="")


def _bytes(file: Path) -> IO[bytes]:
    return gzip.open(file, "rb") if file.suffix.lower() == ".gz" else open(file, "rb")  # type: ignore[return-value]


def _undecodable(file: Path) -> int:
    """The line of the first bytes that are no UTF-8."""
    with io.TextIOWrapper(_bytes(file), encoding="utf-8-sig", errors="surrogateescape") as text:
        for number, line in enumerate(text, 1):
            if any("\udc80" <= mark <= "\udcff" for mark in line):
                return number
    return 1


def _damage(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the compressed file is cut off"
    return f"the compressed file is damaged: {error}"


def _dialect(text: IO[str]) -> type[csv.Dialect]:
    """Comma, semicolon or tab, whichever the heading has most of."""
    heading = text.readline()
    text.seek(0)
    best = max(",;\t", key=heading.count)

    class Found(csv.excel):
        delimiter = best

    return Found


def _numbered(rows: Any) -> Iterator[Row]:
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
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"after line {begun - 1}: {_damage(error)}") from None


def _parquet(file: Path) -> tuple[list[str], Iterator[Row]]:
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
    return list(source.schema_arrow.names), _parquet_rows(source, ArrowException)


def _parquet_rows(source: Any, arrow_error: type[Exception]) -> Iterator[Row]:
    """Rows as text; floats in their shortest form, which is what was meant."""
    line = 0
    try:
        for batch in source.iter_batches(batch_size=8_192):
            for values in zip(*map(_texts, batch.columns), strict=True):
                line += 1
                yield line, list(values)
    except (arrow_error, OSError) as error:
        why = " ".join(str(error).split())[:120]
        raise UsageError(f"after row {line}: the file is damaged: {why}") from None


def _texts(column: Any) -> list[str]:
    narrow = _NARROW.get(str(column.type))
    values = column.to_pylist()
    if narrow is not None:  # as Python's floats they have digits that nobody wrote
        values = [None if value is None else narrow(value) for value in values]
    return ["" if value is None else _text_of(value) for value in values]


def _text_of(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
