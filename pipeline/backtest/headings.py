"""Which column of a file is which: the names that exchanges, brokers and libraries give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.errors import UsageError

_NAMES = {
    "time": (
        "time",
        "timestamp",
        "datetime",
        "date",
        "close_time",
        "open_time",
        "unix",
        "ts",
        "gmt time",
        "t",
    ),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "max", "high_price"),
    "low": ("low", "l", "min", "low_price"),
    "close": ("close", "c", "close/last", "last", "price", "close_price"),
    "volume": ("volume", "vol", "v", "tick_volume", "volume_base", "vol."),
    "symbol": ("symbol", "ticker", "instrument", "pair", "product"),
}
_INDEX = "__index_level_0__"
"""What pandas calls an index without a name when it writes Parquet."""
_NEEDED = ("time", "open", "high", "low", "close")


class Headings(NamedTuple):
    """Where each field stands; −1 where there is none. `clock` is a time of day beside a date in `time`."""

    time: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    symbol: int
    clock: int = -1


def headings(names: Sequence[str]) -> Headings:
    """Raises UsageError naming what is missing, and what was found instead."""
    plain = [name.strip().strip('"<>\ufeff').lower().replace(" ", "_") for name in names]
    found = {field: _where(plain, wanted) for field, wanted in _NAMES.items()}
    if found["time"] < 0 and _INDEX in plain:
        found["time"] = plain.index(_INDEX)
    for name in {plain[place] for place in found.values() if place >= 0}:
        if plain.count(name) > 1:
            raise UsageError(f"column {name}: is there {plain.count(name)} times")
    if missing := [field for field in _NEEDED if found[field] < 0]:
        there = ", ".join(name.strip() for name in names)[:200]
        raise UsageError(f"column {', '.join(missing)}: missing; the file has {there}")
    clock = -1
    if "date" in plain and "time" in plain and found["time"] == plain.index("time"):
        found["time"], clock = plain.index("date"), plain.index("time")
    return Headings(clock=clock, **found)


def _where(plain: Sequence[str], wanted: Sequence[str]) -> int:
    for name in wanted:
        if (name := name.replace(" ", "_")) in plain:
            return plain.index(name)
    return -1
