"""Which writer is in use: the C extension where it was built, else Python. Both write the same bytes.

A collector's frequent steps are in C too, in an extension of their own.

`RINGLINE_TELEMETRY=python` in the environment chooses Python although the extension is there.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType

from pipeline import limits
from pipeline.telemetry import layout

VARIABLE = "RINGLINE_TELEMETRY"
INTERFACE = 8
"""Raised with every change of what C and Python expect of each other; a stale build is then not used."""
LAYOUT = (
    layout.HEAD,
    layout.TAIL,
    layout.DROPPED,
    layout.FACTS_DROPPED,
    layout.HEARTBEAT,
    layout.STARTS,
    limits.MAX_OPEN_STARTS,
    layout.ENTRIES,
    layout.ENTRY_WORDS,
    INTERFACE,
)
READING_LAYOUT = (
    layout.HEAD,
    layout.TAIL,
    layout.DROPPED,
    layout.FACTS_DROPPED,
    layout.NAMES_USED,
    layout.ENTRIES,
    layout.ENTRY_WORDS,
    4,
)
"""What the reading side's extension must say; its last figure is to it what INTERFACE is to the writer."""


def load(choice: str) -> tuple[ModuleType | None, str]:
    """The extension, or None and why."""
    if choice == "python":
        return None, f"{VARIABLE}=python"
    try:
        _fast = import_module("pipeline.telemetry._fast")
    except ModuleNotFoundError:
        return None, "the C extension is not built: there was no C compiler when this was installed"
    except ImportError as error:
        return None, f"the C extension cannot be loaded ({error})"
    if _fast.LAYOUT != LAYOUT:
        return None, "the C extension was built from other sources; build it again"
    return _fast, ""


def load_reading(choice: str) -> ModuleType | None:
    """The reading side's extension."""
    if choice == "python":
        return None
    try:
        _look = import_module("pipeline.telemetry._look")
    except ImportError:
        return None
    return _look if _look.LAYOUT == READING_LAYOUT else None


extension, why_python = load(os.environ.get(VARIABLE, ""))
reading = load_reading(os.environ.get(VARIABLE, ""))


def writer_name() -> str:
    """`C` or `Python`."""
    return "C" if extension is not None else "Python"


def reader_name() -> str:
    """The same for a collector's frequent steps."""
    return "C" if reading is not None else "Python"
