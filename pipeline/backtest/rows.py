"""The digested bytes of rows on which nothing happens, made a block at a time with numpy.

A row's bytes are its head (decimal text), its payload (the candle as msgpack) and what was decided and
filled. On most candles nothing is, and then all but the numbers is the same: such rows are columns of one
byte matrix. Numbers have msgpack's shortest form, so their width varies; where it does within a block, the
matrix is as wide as the widest and a mask says which bytes are real.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.backtest.series import Column, Series
from pipeline.messages import Candle, encode

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

_CODES = {2: 0xCC, 3: 0xCD, 5: 0xCE, 9: 0xCF}
_WORDS = {2: ">u1", 3: ">u2", 5: ">u4", 9: ">u8"}
_BOUNDS = np.array([0x80, 0x100, 0x1_0000, 0x1_0000_0000], dtype=np.int64)
_BOUND_WIDTHS = np.array([1, 2, 3, 5, 9], dtype=np.int64)
"""msgpack: the bytes of a number ≥ 0 that is below each bound; nine beyond the last."""
_TENS = np.array([10**power for power in range(1, 19)], dtype=np.int64)


class Block:
    """Rows `start` to `stop` (exclusive) of a series as if all were quiet; row i has key_seq i + 1."""

    __slots__ = ("_bytes", "_offsets", "_quiet_bytes", "_start", "_stride", "_view")

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
        matrix.constant(head_tail + tag)
        for column, width in zip(columns, widths, strict=True):
            matrix.number(column, width)
        matrix.constant(quiet)
        self._bytes, self._offsets, self._stride = matrix.packed()
        self._view = memoryview(self._bytes)
        self._start = start
        self._quiet_bytes = len(quiet)

    def rows(self, first: int, stop: int) -> memoryview:
        """The bytes of rows `first` to `stop` (exclusive)."""
        stride = self._stride
        if stride:
            return self._view[(first - self._start) * stride : (stop - self._start) * stride]
        return self._view[self._offsets[first - self._start] : self._offsets[stop - self._start]]

    def payload(self, row: int) -> bytes:
        """The encoded candle of `row`."""
        at = row - self._start
        if self._stride:
            data = self._bytes[at * self._stride : (at + 1) * self._stride]
        else:
            data = self._bytes[self._offsets[at] : self._offsets[at + 1]]
        return data[data.index(b";") + 1 : -self._quiet_bytes]


class _Matrix:
    """Pieces of equal height, put side by side."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._width = 0
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

    def packed(self) -> tuple[bytes, list[int], int]:
        """(bytes, offsets of rows and end, 0) or, where all rows are equally long, (bytes, [], length)."""
        matrix = np.empty((self._rows, self._width), dtype=np.uint8)
        mask = np.ones(matrix.shape, dtype=np.bool_) if not isinstance(self._lengths, np.int64) else None
        at = 0
        for width, values, widths, kind in self._pieces:
            place = matrix[:, at : at + width]
            if values is None:
                place[:] = np.frombuffer(kind, dtype=np.uint8)
            else:
                _write(place, values, widths, kind, None if mask is None else mask[:, at : at + width])
            at += width
        if mask is None:
            return matrix.tobytes(), [], self._width
        offsets = np.zeros(self._rows + 1, dtype=np.int64)
        np.cumsum(self._lengths, out=offsets[1:])
        return matrix[mask].tobytes(), offsets.tolist(), 0

    def _add(self, width: int, values: Column | None, widths: Column | np.int64, kind: bytes) -> None:
        self._pieces.append((width, values, widths, kind))
        self._width += width
        self._lengths = self._lengths + widths


def _write(place: Bytes, values: Column, widths: Column | np.int64, kind: bytes, mask: Flags | None) -> None:
    write = _write_decimal if kind == b"d" else _write_number
    if isinstance(widths, np.int64):
        write(place, values, int(widths))
        return
    assert mask is not None
    for width in np.unique(widths).tolist():
        rows = widths == width
        part = np.empty((int(rows.sum()), width), dtype=np.uint8)
        write(part, values[rows], width)
        place[rows, :width] = part
        mask[rows, width:] = False


def _write_decimal(place: Bytes, values: Column, digits: int) -> None:
    rest = values.astype(np.uint32) if digits < 10 else values
    for index in range(digits - 1, -1, -1):
        tenth = rest // 10
        place[:, index] = rest - tenth * 10 + ord("0")
        rest = tenth


def _write_number(place: Bytes, values: Column, width: int) -> None:
    if width == 1:
        place[:, 0] = values
        return
    place[:, 0] = _CODES[width]
    words = values.astype(_WORDS[width])
    place[:, 1:] = words.view(np.uint8).reshape(len(values), width - 1)


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
