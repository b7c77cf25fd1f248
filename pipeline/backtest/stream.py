"""Rows into the digest in their order: quiet ones by the block, the others one at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from pipeline.backtest.rows import Block
from pipeline.backtest.series import Series
from pipeline.messages import Fills, encode
from pipeline.run_digest import HEAD_TAIL, RunDigest

BLOCK_ROWS = 8_192
"""About 700 KiB of bytes: they stay in a core's cache until they are hashed."""


class Stream(Protocol):
    """All rows of one series; those that are not named are quiet. Rows are named in their order."""

    def row(self, row: int, decision: bytes, fills: bytes) -> None: ...

    def rows(self, named: Iterable[tuple[int, bytes, bytes]]) -> None: ...

    def finish(self) -> None: ...


class RowStream:
    """All rows of one series; those that `row` does not name are quiet."""

    __slots__ = ("_at", "_block", "_head_tail", "_pieces", "_quiet", "_series", "_stop", "_update")

    def __init__(self, series: Series, digest: RunDigest, quiet_decision: bytes) -> None:
        quiet_fills = encode(Fills())
        self._series = series
        self._update = digest.update
        self._quiet = quiet_decision + quiet_fills
        self._head_tail = HEAD_TAIL % (len(quiet_decision), len(quiet_fills))
        self._pieces: list[bytes | memoryview] = []
        self._at = self._stop = 0
        self._block = self._turned(0)

    def row(self, row: int, decision: bytes, fills: bytes) -> None:
        """Adds all quiet rows before `row`, then `row`. Rows come in their order."""
        self.rows(((row, decision, fills),))

    def rows(self, named: Iterable[tuple[int, bytes, bytes]]) -> None:
        """As `row` for each (row, decision, fills)."""
        around, pieces, at, stop = self._block.around, self._pieces, self._at, self._stop
        for row, decision, fills in named:
            if row >= stop:
                self._at = at
                while row >= self._stop:
                    self._finish_block()
                around, pieces, at, stop = self._block.around, self._pieces, self._at, self._stop
            before, payload, at = around(at, row)
            pieces += (before, HEAD_TAIL % (len(decision), len(fills)), payload, decision, fills)
        self._at = at

    def finish(self) -> None:
        """Adds the quiet rows after the last named one."""
        while self._stop < len(self._series):
            self._finish_block()
        self._hash_block()

    def _finish_block(self) -> None:
        self._hash_block()
        self._block = self._turned(self._stop)

    def _hash_block(self) -> None:
        self._pieces.append(self._block.rows(self._at, self._stop))
        self._update(b"".join(self._pieces))
        self._pieces = []

    def _turned(self, start: int) -> Block:
        self._stop = min(start + BLOCK_ROWS, len(self._series))
        self._at = 0
        return Block(self._series, start, self._stop, self._quiet, self._head_tail)
