"""Rows of a file, already counted, → a series a symbol, with what was odd about them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np
from msgspec import Struct

from pipeline.backtest.series import Column, Series
from pipeline.backtest.times import EPOCH, NAIVE, day_text
from pipeline.errors import InvalidEventError

DAY_US = 86_400_000_000
_WEEKEND_US = 4 * DAY_US
"""Daily bars may stop for a weekend with a holiday at its end."""
_SHOWN = 3


class Findings(Struct, frozen=True, kw_only=True):
    """What a reader found. `duplicates` were repeated word for word and dropped; `gaps` are longer than the
    usual spacing, the longest ones in `longest`; `notes` are sentences."""

    candles: int
    symbols: dict[str, int]
    duplicates: int = 0
    gaps: int = 0
    longest: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Assembly:
    """Add rows, then read `series()` and `findings()`."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[array[int], array[int]]] = {}
        self._written: str | None = None
        self._offsets: dict[str, None] = {}
        self.notes: list[str] = []

    def add(self, line: int, symbol: str, written: str, numbers: tuple[int, int, int, int, int, int]) -> None:
        """One candle: (time_us, open, high, low, close, volume), checked by its instrument already.

        `written` is how its time was, by `time_of`. Raises InvalidEventError when it says its offset and
        others do not, for some would be hours off, and when only some count from 1970.
        """
        if written != self._written:
            self._meet(written)
        flat, lines = self._rows.setdefault(symbol, (array("q"), array("q")))
        flat.extend(numbers)
        lines.append(line)

    def _meet(self, written: str) -> None:
        """Another way to write a time than the row before."""
        before = self._written
        if before is not None and EPOCH in (written, before):
            raise InvalidEventError("time", "some times are numbers since 1970 and some are dates")
        if before is not None and NAIVE in (written, before):
            raise InvalidEventError("time", "some times have an offset from UTC and some have none")
        self._written = written
        self._offsets[written] = None

    def finish(self) -> tuple[dict[str, Series], Findings]:
        """Series by symbol, in the order of time. Raises InvalidEventError naming lines."""
        if self._written == NAIVE:
            self.notes.append("times have no offset from UTC and were taken for UTC")
        if len(self._offsets) > 1:
            shown = ", ".join(list(self._offsets)[:_SHOWN]) + (", …" if len(self._offsets) > _SHOWN else "")
            self.notes.append(f"times have {len(self._offsets)} offsets from UTC ({shown}); each was used")
        series: dict[str, Series] = {}
        duplicates, gaps = 0, []
        for symbol in sorted(self._rows):
            flat, lines = self._rows[symbol]
            rows = np.frombuffer(flat, dtype=np.int64).reshape(-1, 6)
            order = self._in_order(symbol, rows, np.frombuffer(lines, dtype=np.int64))
            duplicates += len(rows) - len(order)
            series[symbol] = Series(symbol, *(np.ascontiguousarray(rows[order, field]) for field in range(6)))
            gaps += list(_gaps(series[symbol]))
        gaps.sort(key=lambda gap: -gap[0])
        return series, Findings(
            candles=sum(map(len, series.values())),
            symbols={symbol: len(one) for symbol, one in series.items()},
            duplicates=duplicates,
            gaps=len(gaps),
            longest=tuple(text for _, text in gaps[:_SHOWN]),
            notes=tuple(self.notes),
        )

    def _in_order(self, symbol: str, rows: Column, lines: Column) -> Column:
        """Indices of the rows to keep, oldest first."""
        order = np.arange(len(rows))
        steps = np.diff(rows[:, 0])
        if len(steps) and bool((steps <= 0).all()) and bool((steps < 0).any()):
            order = order[::-1]
            steps = -steps[::-1]
            self.notes.append(f"{symbol}: newest first; turned round")
        for index in np.flatnonzero(steps < 0)[:1].tolist():
            line, before = int(lines[order[index + 1]]), int(lines[order[index]])
            raise InvalidEventError(
                f"line {line}: time",
                f"{day_text(int(rows[order[index + 1], 0]))} of {symbol} is before line {before}",
            )
        same = np.flatnonzero(steps == 0)
        for index in same.tolist():
            if not np.array_equal(rows[order[index]], rows[order[index + 1]]):
                raise InvalidEventError(
                    f"line {int(lines[order[index + 1]])}: time",
                    f"{symbol} has another candle at {day_text(int(rows[order[index], 0]))} on line "
                    f"{int(lines[order[index]])}, with other numbers",
                )
        kept: Column = np.delete(order, same + 1)
        return kept


def _gaps(series: Series) -> Iterator[tuple[int, str]]:
    """(length, in words) of each; the usual spacing is the most frequent one."""
    steps = np.diff(series.time_us)
    if len(steps) < 2:
        return
    spans, counts = np.unique(steps, return_counts=True)
    usual = int(spans[np.argmax(counts)])
    allowed = _WEEKEND_US if usual == DAY_US else usual
    for index in np.flatnonzero(steps > allowed).tolist():
        start, end = int(series.time_us[index]), int(series.time_us[index + 1])
        missing = (end - start) // usual - 1
        yield end - start, f"{series.symbol} {day_text(start)} → {day_text(end)} ({missing:,} candles)"
