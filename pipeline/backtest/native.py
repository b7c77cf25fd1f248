"""What makes the bytes of rows: the C extension where it was built, else numpy. Both make the same.

`RINGLINE_BACKTEST=python` in the environment chooses numpy although the extension is there.
"""

from __future__ import annotations

import os
from types import ModuleType

VARIABLE = "RINGLINE_BACKTEST"
INTERFACE = 1
"""Raised with every change of what C and Python expect of each other; a stale build is then not used."""


def load(choice: str) -> tuple[ModuleType | None, str]:
    """The extension, or None and why."""
    if choice == "python":
        return None, f"{VARIABLE}=python"
    try:
        from pipeline.backtest import _rows
    except ImportError as error:
        return None, f"the C extension is not built ({error})"
    if _rows.INTERFACE != INTERFACE:
        return None, "the C extension was built from other sources; build it again"
    return _rows, ""


extension, why_python = load(os.environ.get(VARIABLE, ""))


def rows_by() -> str:
    """`C` or `numpy`."""
    return "C" if extension is not None else "numpy"
