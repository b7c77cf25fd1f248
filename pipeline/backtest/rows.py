"""The digested bytes of rows on which nothing happens, made a block at a time with numpy.

A row's bytes are its head (decimal text), its payload (the candle as msgpack) and what was decided and
filled. On most candles nothing is, and then all but the numbers is the same: such rows are columns of one
byte matrix. Numbers have msgpack's shortest form, so their width varies; where it does within a block, the
matrix is as wide as the widest and a mask says which bytes are real.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.backtest.series import Column, Series
from pipeline.messages import Candle, encode

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

_CODES = {2: b"\xcc", 3: b"\xcd", 5: b"\xce", 9: b"\xcf"}
_WORDS = {1: ">u1", 2: ">u1", 3: ">u2", 5: ">u4", 9: ">u8"}
_BOUNDS = np.array([0x80, 0x100, 0x1_0000, 0x1_0000_0000], dtype=np.int64)
_BOUND_WIDTHS = np.array([1, 2, 3, 5, 9], dtype=np.int64)
"""msgpack: the bytes of a number ≥ 0 that is below each bound; nine beyond the last."""
_FOUR_DIGITS = np.frombuffer(b"".join(b"%04d" % number for number in range(10_000)), dtype="V4")
_TENS = np.array([10**power for power in range(1, 19)], dtype=np.int64)


class Block:
    """Rows `start` to `stop` (exclusive) of a series as if all were quiet; row i has key_seq i + 1."""

    __slots__ = (
        "_head_tail_bytes",
        "_mid",
        "_offsets",
        "_quiet_bytes",
        "_start",
        "_stride",
        "_text",
        "_view",
    )

    def __init__(self, series: Series, start: int, stop: int, quiet: bytes, head_tail: bytes) -> None:
        """`quiet` is what was decided and filled, `head_tail` the end of the head: both lengths."""
        columns = [column[start:stop] for column in series.columns]
        tag = encode(Candle(series.symbol, 0, 0, 0, 0, 0, 0))[:-6]
        matrix = _Matrix(stop - start)
        matrix.constant(b"r")
        matrix.decimal(np.arange(start + 1, stop + 1, dtype=np.int64))
        matrix.constant(b",")
        widths = [_widths(column) for column in columns]
        matrix.decimal(sum(widths, np.int64(len(tag))))
        self._mid = matrix.width
        matrix.constant(head_tail + tag)
        for column, width in zip(columns, widths, strict=True):
            matrix.number(column, width)
        matrix.constant(quiet)
        self._view, self._offsets, self._stride = matrix.packed()
        self._text = b"" if self._stride else self._view.tobytes()
        self._start = start
        self._quiet_bytes = len(quiet)
        self._head_tail_bytes = len(head_tail)

    def rows(self, at: int, stop: int) -> memoryview:
        """The bytes from offset `at` to the start of row `stop`."""
        return self._view[at : self._row(stop)]

    def around(self, at: int, row: int) -> tuple[memoryview, memoryview, int]:
        """What stands around another end of `row` than the quiet one: (the bytes from offset `at` to where
        its head names the lengths of what was decided and filled, its payload, where the next row begins)."""
        stride, view = self._stride, self._view
        if stride:
            first = (row - self._start) * stride
            mid, end = first + self._mid, first + stride
        else:
            first, end = self._row(row), self._row(row + 1)
            mid = self._text.index(b",", self._text.index(b",", first) + 1)
        return view[at:mid], view[mid + self._head_tail_bytes : end - self._quiet_bytes], end

    def _row(self, row: int) -> int:
        at = row - self._start
        return at * self._stride if self._stride else self._offsets[at]


class _Matrix:
    """Pieces of equal height, put side by side."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.width = 0
        self._lengths: Column | np.int64 = np.int64(0)
        self._pieces: list[tuple[int, Column | None, Column | np.int64, bytes]] = []

    def constant(self, data: bytes) -> None:
        self._add(len(data), None, np.int64(len(data)), data)

    def decimal(self, values: Column | np.int64) -> None:
        """Numbers > 0 as decimal text."""
        if isinstance(values, np.int64):
            self.constant(b"%d" % values)
            return
        digits = _uniform(values, _digits)
        self._add(int(np.max(digits)), values, digits, b"d")

    def number(self, values: Column, widths: Column | np.int64) -> None:
        """Numbers ≥ 0 as msgpack."""
        self._add(int(np.max(widths)), values, widths, b"n")

    def packed(self) -> tuple[memoryview, list[int], int]:
        """(bytes, offsets of rows and end, 0) or, where all rows are equally long, (bytes, [], length)."""
        matrix = np.empty((self._rows, self.width), dtype=np.uint8)
        mask = np.ones(matrix.shape, dtype=np.bool_) if not isinstance(self._lengths, np.int64) else None
        at = 0
        for width, values, widths, kind in self._pieces:
            if values is None:
                _field(matrix, at, f"V{width}")[:] = np.void(kind)
            elif isinstance(widths, np.int64):
                _WRITERS[kind](matrix, at, values, width)
            else:
                assert mask is not None
                _write_varied(matrix, at, values, widths, kind, mask[:, at : at + width])
            at += width
        if mask is None:
            return matrix.reshape(-1).data, [], self.width
        offsets = np.zeros(self._rows + 1, dtype=np.int64)
        np.cumsum(self._lengths, out=offsets[1:])
        return matrix[mask].data, offsets.tolist(), 0

    def _add(self, width: int, values: Column | None, widths: Column | np.int64, kind: bytes) -> None:
        self._pieces.append((width, values, widths, kind))
        self.width += width
        self._lengths = self._lengths + widths


def _field(matrix: Bytes, at: int, kind: str) -> npt.NDArray[Any]:
    """The bytes from column `at` on of every row as one value each: written at once, not byte by byte."""
    return np.ndarray(len(matrix), dtype=kind, buffer=matrix, offset=at, strides=(matrix.shape[1],))


def _write_varied(matrix: Bytes, at: int, values: Column, widths: Column, kind: bytes, mask: Flags) -> None:
    """A piece as wide as its widest value; what of it is none is masked out."""
    for width in np.unique(widths).tolist():
        rows = widths == width
        part = np.empty((int(rows.sum()), width), dtype=np.uint8)
        _WRITERS[kind](part, 0, values[rows], width)
        matrix[rows, at : at + width] = part
        mask[rows, width:] = False


def _write_decimal(matrix: Bytes, at: int, values: Column, digits: int) -> None:
    rest = values.astype(np.uint32) if digits < 10 else values
    while digits >= 4:
        digits -= 4
        more = rest // 10_000
        _field(matrix, at + digits, "V4")[:] = _FOUR_DIGITS[rest - more * 10_000]
        rest = more
    while digits:
        digits -= 1
        tenth = rest // 10
        matrix[:, at + digits] = rest - tenth * 10 + ord("0")
        rest = tenth


def _write_number(matrix: Bytes, at: int, values: Column, width: int) -> None:
    if width > 1:
        matrix[:, at] = _CODES[width][0]
        at += 1
    _field(matrix, at, _WORDS[width])[:] = values


_WRITERS = {b"d": _write_decimal, b"n": _write_number}


def _widths(column: Column) -> Column | np.int64:
    return _uniform(column, lambda values: _BOUND_WIDTHS[np.searchsorted(_BOUNDS, values, "right")])


def _digits(values: Column) -> Column:
    found: Column = np.searchsorted(_TENS, values, "right").astype(np.int64) + 1
    return found


def _uniform(column: Column, measure: object) -> Column | np.int64:
    """What `measure` says of a column: one number where it is the same for all, which its ends tell."""
    assert callable(measure)
    ends = measure(np.array([column.min(), column.max()], dtype=np.int64))
    if ends[0] == ends[1]:
        return np.int64(ends[0])
    found: Column = measure(column)
    return found
