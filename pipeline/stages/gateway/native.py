"""What reads usual requests and candles: C extensions where they were built, else Python; the same comes of
both.

`RINGLINE_GATEWAY_PARSER=python` in the environment chooses Python although the extensions are there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

VARIABLE = "RINGLINE_GATEWAY_PARSER"
INTERFACE = 1
"""Raised with every change of what C and Python expect of each other; a stale build is then not used."""

Counted = tuple[int, int, int]
"""Of an instrument: price scale, quantity scale, tick."""
ReadCandle = Callable[[bytes, dict[str, Counted], Counted], tuple[str, bytes, int] | None]
"""Symbol, payload and close (µs) of a body that is a candle beyond doubt; None says nothing about it."""
ReadRequest = Callable[[bytes, int], tuple[bytes, dict[bytes, bytes], bytes] | None]
"""Path, headers and body of bytes that are one whole POST beyond doubt; None says nothing about them."""


class Native(NamedTuple):
    """What C does, where it does."""

    candle: ReadCandle | None = None
    request: ReadRequest | None = None
    why_not: str = ""


def load(choice: str) -> Native:
    """The extensions' readers, or why there are none."""
    if choice == "python":
        return Native(why_not=f"{VARIABLE}=python")
    try:
        from pipeline.stages.gateway import _candle, _request
    except ImportError as error:
        return Native(why_not=f"the C extensions are not built ({error})")
    if _candle.INTERFACE != INTERFACE or _request.INTERFACE != INTERFACE:
        return Native(why_not="the C extensions were built from other sources; build them again")
    return Native(_candle.candle, _request.request)


native = load(os.environ.get(VARIABLE, ""))
