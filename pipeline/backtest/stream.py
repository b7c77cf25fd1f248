"""Rows into the digest in their order: quiet ones by the block, the others one at a time."""

from __future__ import annotations

from pipeline.backtest.rows import Block
from pipeline.backtest.series import Series
from pipeline.messages import Fills, encode
from pipeline.run_digest import ROW_HEAD, RunDigest

BLOCK_ROWS = 8_192
"""About 700 KiB of bytes: they stay in a core's cache until they are hashed."""


class RowStream:
    """All rows of one series; those that `row` does not name are quiet."""

    __slots__ = ("_block", "_head_tail", "_next", "_pieces", "_quiet", "_series", "_stop", "_update")

    def __init__(self, series: Series, digest: RunDigest, quiet_decision: bytes) -> None:
        quiet_fills = encode(Fills())
        self._series = series
        self._update = digest.update
        self._quiet = quiet_decision + quiet_fills
        self._head_tail = b",%d,%d;" % (len(quiet_decision), len(quiet_fills))
        self._pieces: list[bytes | memoryview] = []
        self._next = self._stop = 0
        self._block = self._turned(0)

    def row(self, row: int, decision: bytes, fills: bytes) -> None:
        """Adds all quiet rows before `row`, then `row`. Rows come in their order."""
        while row >= self._stop:
            self._finish_block()
        block, pieces = self._block, self._pieces
        if self._next < row:
            pieces.append(block.rows(self._next, row))
        payload = block.payload(row)
        pieces.append(ROW_HEAD % (row + 1, len(payload), len(decision), len(fills)))
        pieces += (payload, decision, fills)
        self._next = row + 1

    def finish(self) -> None:
        """Adds the quiet rows after the last named one."""
        while self._next < len(self._series):
            self._finish_block()
        self._update(b"".join(self._pieces))
        self._pieces = []

    def _finish_block(self) -> None:
        if self._next < self._stop:
            self._pieces.append(self._block.rows(self._next, self._stop))
        self._next = self._stop
        self._update(b"".join(self._pieces))
        self._pieces = []
        if self._stop < len(self._series):
            self._block = self._turned(self._stop)

    def _turned(self, start: int) -> Block:
        self._stop = min(start + BLOCK_ROWS, len(self._series))
        return Block(self._series, start, self._stop, self._quiet, self._head_tail)
