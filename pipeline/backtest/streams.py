"""Chooses how rows become digested bytes: in C where that was built, else by numpy."""

from __future__ import annotations

from pipeline.backtest import native
from pipeline.backtest.native_stream import NativeRowStream
from pipeline.backtest.series import Series
from pipeline.backtest.stream import RowStream, Stream
from pipeline.run_digest import RunDigest


def row_stream(series: Series, digest: RunDigest, quiet_decision: bytes) -> Stream:
    """The stream of one key's rows; `quiet_decision` is what is decided where nothing is wanted."""
    if native.extension is None:
        return RowStream(series, digest, quiet_decision)
    return NativeRowStream(series, digest, quiet_decision, native.extension)
