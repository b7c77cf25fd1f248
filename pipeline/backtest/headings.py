"""Which column of a file is which: the names that exchanges, brokers and libraries give them."""

from __future__ import annotations

import re
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
        "unix_timestamp",
        "unix_time",
        "epoch",
        "ts",
        "gmt_time",
        "date_time",
        "time_utc",
        "timestamp_utc",
        "start",
        "begin",
        "t",
    ),
    "open": ("open", "o", "open_price", "opening_price", "first"),
    "high": ("high", "h", "max", "high_price", "highest"),
    "low": ("low", "l", "min", "low_price", "lowest"),
    "close": ("close", "c", "close/last", "last", "price", "close_price", "closing_price", "last_price"),
    "volume": (
        "volume",
        "vol",
        "v",
        "tick_volume",
        "tickvol",
        "volume_base",
        "base_volume",
        "vol.",
        "quantity",
    ),
    "symbol": ("symbol", "ticker", "instrument", "pair", "product", "product_id", "market"),
}
"""As they are once `_plain`."""
_NAMED_VOLUME = re.compile(r"^vol(?:ume)?[_.]*\(?_?([a-z0-9]+)\)?$")
"""`Volume BTC`, `Volume (USD)`, `volume_usdt`: counted in the symbol's own units or in those of its price."""
_MONEY = ("usd", "usdt", "usdc", "busd", "eur", "gbp", "jpy", "krw", "quote", "currency")
_UNIT = re.compile(r"_*\((?:utc|gmt|ms|s|us|ns|unix|usd|usdt|eur)\)$")
"""A unit behind a name: `Timestamp (UTC)`, `Open (USD)`."""
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
    plain = [_plain(name) for name in names]
    found = {field: _where(plain, wanted) for field, wanted in _NAMES.items()}
    if found["volume"] < 0:
        found["volume"] = _named_volume(plain)
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


def _plain(name: str) -> str:
    word = name.strip().strip('"<>\ufeff').strip().lower().replace(" ", "_")
    return word if word.startswith("vol") else _UNIT.sub("", word)


def _where(plain: Sequence[str], wanted: Sequence[str]) -> int:
    for name in wanted:
        if name in plain:
            return plain.index(name)
    return -1


def _named_volume(plain: Sequence[str]) -> int:
    """The volume that says its unit; of several the one that counts pieces and not money."""
    units = {
        place: match[1]
        for place, name in enumerate(plain)
        if (match := _NAMED_VOLUME.match(name)) is not None
    }
    return min(units, key=lambda place: (units[place] in _MONEY, place), default=-1)
