"""`RowStream` by the C extension: the same rows, the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType

import numpy as np

from pipeline.backtest.series import Series
from pipeline.backtest.stream import BLOCK_ROWS
from pipeline.messages import Candle, Fills, encode
from pipeline.run_digest import RunDigest

_NUMBERS = 6
"""Of a candle, each a byte when 0: what is before them is the same for all candles of a symbol."""


class NativeRowStream:
    """All rows of one series; those that `row` does not name are quiet."""

    __slots__ = ("_columns", "_decision", "_end", "_fills", "_out", "_pending", "_start", "_stop", "_tag",
                 "_update", "_write")  # fmt: skip

    def __init__(
        self, series: Series, digest: RunDigest, quiet_decision: bytes, extension: ModuleType
    ) -> None:
        self._write = extension.write
        self._columns = tuple(np.ascontiguousarray(column, dtype=np.int64) for column in series.columns)
        self._update = digest.update
        self._tag = encode(Candle(series.symbol, 0, 0, 0, 0, 0, 0))[:-_NUMBERS]
        self._decision = quiet_decision
        self._fills = encode(Fills())
        self._pending: list[tuple[int, bytes, bytes]] = []
        self._out = bytearray()
        self._end = len(series)
        self._start = 0
        self._stop = min(BLOCK_ROWS, self._end)

    def row(self, row: int, decision: bytes, fills: bytes) -> None:
        """Names `row`. Rows come in their order."""
        while row >= self._stop:
            self._hash_block()
        self._pending.append((row, decision, fills))

    def rows(self, named: Iterable[tuple[int, bytes, bytes]]) -> None:
        """As `row` for each (row, decision, fills)."""
        stop, add = self._stop, self._pending.append
        for one in named:
            if one[0] >= stop:
                while one[0] >= self._stop:
                    self._hash_block()
                stop = self._stop
            add(one)

    def finish(self) -> None:
        """Adds what is left."""
        while self._start < self._end:
            self._hash_block()

    def _hash_block(self) -> None:
        length = self._write(
            self._out, self._columns, self._start, self._stop, self._tag, self._decision, self._fills,
            self._pending,
        )  # fmt: skip
        with memoryview(self._out) as made:
            self._update(made[:length])
        self._pending.clear()
        self._start, self._stop = self._stop, min(self._stop + BLOCK_ROWS, self._end)
