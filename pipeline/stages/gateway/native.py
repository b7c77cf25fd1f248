"""What reads a posted candle: the C extension where it was built, else Python. Both journal the same bytes.

`RINGLINE_GATEWAY_PARSER=python` in the environment chooses Python although the extension is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable

VARIABLE = "RINGLINE_GATEWAY_PARSER"
INTERFACE = 1
"""Raised with every change of what C and Python expect of each other; a stale build is then not used."""

Counted = tuple[int, int, int]
"""Of an instrument: price scale, quantity scale, tick."""
ReadCandle = Callable[[bytes, dict[str, Counted], Counted], tuple[str, bytes, int] | None]
"""Symbol, payload and close (µs) of a body that is a candle beyond doubt; None says nothing about it."""


def load(choice: str) -> tuple[ReadCandle | None, str]:
    """The extension's reader, or None and why."""
    if choice == "python":
        return None, f"{VARIABLE}=python"
    try:
        from pipeline.stages.gateway import _candle
    except ImportError as error:
        return None, f"the C extension is not built ({error})"
    if _candle.INTERFACE != INTERFACE:
        return None, "the C extension was built from other sources; build it again"
    return _candle.candle, ""


read_candle, why_python = load(os.environ.get(VARIABLE, ""))
