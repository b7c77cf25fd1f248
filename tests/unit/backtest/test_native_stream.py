"""Rows by the C extension: byte for byte those of numpy.

Whether it is there depends on a compiler; these tests need it, all others run either way.
"""

from __future__ import annotations

import re
from random import Random
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.backtest import native
from pipeline.backtest.native_stream import NativeRowStream
from pipeline.backtest.series import Series
from pipeline.backtest.stream import BLOCK_ROWS, RowStream, Stream
from pipeline.backtest.streams import row_stream
from pipeline.messages import Decision, Leg, encode
from pipeline.run_digest import RunDigest

found, why_not = native.load("")
needs_extension = pytest.mark.skipif(found is None, reason=why_not)
QUIET = encode(Decision((Leg("s", 0),)))
Named = list[tuple[int, bytes, bytes]]


@pytest.fixture
def rows() -> ModuleType:
    assert found is not None
    return found


class Kept(RunDigest):
    """Keeps what is digested."""

    __slots__ = ("data", "update")

    def __init__(self) -> None:
        self.data = bytearray()
        self.update = self.data.extend  # type: ignore[assignment]


def series_of(columns: Any, symbol: str = "K") -> Series:
    return Series(symbol, *(np.array(column, dtype=np.int64) for column in columns))


def both(series: Series, named: Named, extension: ModuleType) -> tuple[bytes, bytes]:
    """(the bytes by numpy, those by C)."""
    made = []
    for by_c in (False, True):
        kept = Kept()
        stream: Stream = RowStream(series, kept, QUIET)
        if by_c:
            stream = NativeRowStream(series, kept, QUIET, extension)
        stream.rows(iter(named[: len(named) // 2]))
        for one in named[len(named) // 2 :]:
            stream.row(*one)
        stream.finish()
        made.append(bytes(kept.data))
    return made[0], made[1]


EDGES = [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000, 2**32 - 1, 2**32, 2**63 - 1]
NUMBERS = st.one_of(st.sampled_from(EDGES), st.integers(0, 2**63 - 1))


@needs_extension
@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*[NUMBERS] * 6), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_any_numbers_and_any_named_rows_give_the_bytes_of_numpy(
    numbers: list[tuple[int, ...]], random: Random
) -> None:
    assert found is not None
    series = series_of(zip(*numbers, strict=True), random.choice(("K", "É", "A" * 32)))
    picked = sorted(random.sample(range(len(numbers)), random.randint(0, len(numbers))))
    named = [(row, random.randbytes(random.randint(0, 300)), random.randbytes(3)) for row in picked]
    by_numpy, by_c = both(series, named, found)
    assert by_c == by_numpy


@needs_extension
@pytest.mark.parametrize("count", [1, 9, 10, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS + 3])
@pytest.mark.parametrize("share", [0, 0.01, 1])
def test_blocks_begin_where_others_end(count: int, share: float, rows: ModuleType) -> None:
    random = Random(count)
    series = series_of([[random.choice(EDGES[:9]) for _ in range(count)]] * 6)
    named = [(row, b"decision", b"fills" * (row % 9)) for row in range(count) if random.random() < share]
    by_numpy, by_c = both(series, named, rows)
    assert by_c == by_numpy


@needs_extension
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"named": [(2, b"", b""), (1, b"", b"")]}, ValueError, "row 1 is not from 3 to 3"),
        ({"named": [(4, b"", b"")]}, ValueError, "row 4 is not from 1 to 3"),
        ({"named": [(0, b"", b"")]}, ValueError, "row 0 is not from 1 to 3"),
        ({"named": [(2, b"")]}, TypeError, "a list of (row, decision, fills)"),
        ({"named": [(2, "", b"")]}, TypeError, "a list of (row, decision, fills)"),
        ({"named": [("2", b"", b"")]}, TypeError, "integer"),
        ({"stop": 6}, ValueError, "columns[0]: 6 numbers of int64 are needed"),
        ({"start": -1}, ValueError, "0 <= start <= stop"),
        ({"columns": (np.arange(5),) * 5}, ValueError, "6 are needed"),
        ({"columns": (np.arange(5.0),) * 6}, ValueError, "columns[0]: 4 numbers of int64"),
        ({"columns": (np.arange(10)[::2],) * 6}, ValueError, "not C-contiguous"),
        ({"columns": (np.array([1, 2, -3, 4, 5]),) * 6}, ValueError, "row 2: a number is negative"),
    ],
)
def test_what_would_be_wrong_is_refused_and_not_written(
    changes: dict[str, Any], error: type[Exception], message: str, rows: ModuleType
) -> None:
    given = {
        "out": bytearray(),
        "columns": (np.arange(5, dtype=np.int64),) * 6,
        "start": 1,
        "stop": 4,
        "tag": b"t",
        "decision": b"d",
        "fills": b"f",
        "named": [],
    }
    with pytest.raises(error, match=re.escape(message)):
        rows.write(*(given | changes).values())
    assert rows.write(*given.values()) > 0


@needs_extension
def test_a_full_block_needs_room_once_only(rows: ModuleType) -> None:
    columns = (np.arange(100, dtype=np.int64),) * 6
    out = bytearray()
    length = rows.write(out, columns, 0, 100, b"t", b"d", b"f", [])
    room = len(out)
    assert room >= length
    assert rows.write(out, columns, 0, 100, b"t", b"d", b"f", []) == length
    assert len(out) == room


def test_the_environment_chooses_and_a_stale_build_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert native.load("python") == (None, "RINGLINE_BACKTEST=python")
    monkeypatch.setattr(native, "INTERFACE", native.INTERFACE + 1)
    extension, why = native.load("")
    assert extension is None
    assert re.search("buil[dt]", why), "of an older build, or not built at all"
    monkeypatch.setattr(native, "extension", None)
    assert native.rows_by() == "numpy"
    assert isinstance(row_stream(series_of([[1]] * 6), RunDigest(), QUIET), RowStream)
