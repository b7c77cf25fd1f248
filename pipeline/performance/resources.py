"""CPU and memory, where somebody can tell: what is not known is None, with the reason beside it."""

from __future__ import annotations

import importlib
from typing import Any

from msgspec import Struct

from pipeline.limits import MIB

NO_PSUTIL = "CPU and memory are unknown: psutil is not installed (pip install 'ringline[performance]')"


class Resources(Struct, frozen=True, kw_only=True):
    """`cpu_percent` is of one CPU, as `top` shows it; `memory_percent` of the machine's memory."""

    cpu_percent: float | None = None
    memory_mb: float | None = None
    """MiB, resident."""
    memory_percent: float | None = None
    source: str | None = None
    """Who measured; None when nobody could."""
    note: str = ""
    """Why something is None."""


class ProcessMeter:
    """This process, by psutil. `module` replaces it; None stands for psutil not being installed."""

    def __init__(self, module: Any = ...) -> None:
        self._psutil = load_psutil() if module is ... else module
        self._process = self._psutil.Process() if self._psutil is not None else None
        self.read()

    def read(self) -> Resources:
        """CPU since the last call, memory now."""
        if self._process is None:
            return Resources(note=NO_PSUTIL)
        memory_bytes = self._process.memory_info().rss
        return Resources(
            cpu_percent=float(self._process.cpu_percent(None)),
            memory_mb=memory_bytes / MIB,
            memory_percent=100 * memory_bytes / self._psutil.virtual_memory().total,
            source=f"psutil {self._psutil.__version__}",
        )


def load_psutil() -> Any:
    """The module, or None: it is an extra."""
    try:
        return importlib.import_module("psutil")
    except ImportError:
        return None
