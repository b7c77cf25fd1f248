"""What a baseline is asked to do, and everything that is wrong with it at once."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from msgspec import Struct

from pipeline import limits
from pipeline.errors import UsageError
from pipeline.performance.rounds import CALLS, ROUNDS


class Fault(NamedTuple):
    """One option that does not fit."""

    option: str
    value: object
    rule: str

    def __str__(self) -> str:
        return f"{self.option} = {self.value!r}: {self.rule}"


class OptionsError(UsageError):
    """Carries every fault found, one line each."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class Options(Struct, frozen=True, kw_only=True):
    """Limits are upper ones; None switches a guardrail off.

    `trades` are sent at `rate` per second. `backlog_threshold_ms` None is `max_lag_ms`. `rounds` of `calls`
    each time the code without trading; 0 rounds: only the trades.
    """

    trades: int = 6
    max_processing_ms: float = 150.0
    max_lag_ms: float = 150.0
    backlog_threshold_ms: float | None = None
    max_cpu_percent: float | None = None
    max_memory_mb: float | None = None
    max_memory_percent: float | None = None
    rate: float = 20.0
    rounds: int = ROUNDS
    calls: int = CALLS

    @property
    def threshold_ms(self) -> float:
        return self.max_lag_ms if self.backlog_threshold_ms is None else self.backlog_threshold_ms


_COUNTS = {
    "trades": (1, limits.MAX_BASELINE_TRADES),
    "rounds": (0, limits.MAX_BASELINE_ROUNDS),
    "calls": (20, limits.MAX_BASELINE_CALLS),
}
"""Below 20 calls a p95 is the maximum."""
_NUMBERS = {
    "max_processing_ms": (limits.MAX_BASELINE_MS, "ms"),
    "max_lag_ms": (limits.MAX_BASELINE_MS, "ms"),
    "backlog_threshold_ms": (limits.MAX_BASELINE_MS, "ms"),
    "max_cpu_percent": (limits.MAX_BASELINE_CPU_PERCENT, "percent of one CPU"),
    "max_memory_mb": (limits.MAX_BASELINE_MEMORY_MB, "MiB"),
    "max_memory_percent": (100, "percent of the machine's memory"),
    "rate": (limits.MAX_BASELINE_RATE, "trades per second"),
}
_OFF_WITH_NONE = ("backlog_threshold_ms", "max_cpu_percent", "max_memory_mb", "max_memory_percent")


def checked(**given: Any) -> Options:
    """The options, if all of them fit. Raises OptionsError naming each that does not."""
    options = Options(**given)
    faults = []
    for name, (least, most) in _COUNTS.items():
        value = getattr(options, name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            faults.append(Fault(name, value, f"must be a whole number from {least} to {most:,}"))
    for name, (most, unit) in _NUMBERS.items():
        value = getattr(options, name)
        if not (value is None and name in _OFF_WITH_NONE) and not _fits(value, most):
            faults.append(Fault(name, value, f"must be a finite number above 0, at most {most:,} {unit}"))
    if faults:
        raise OptionsError(faults)
    return options


def _fits(value: object, most: int) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and 0 < value <= most
