"""Times as they stand in files → microseconds since the epoch (UTC)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from pipeline import limits
from pipeline.clock import US_PER_S
from pipeline.errors import InvalidEventError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_PER_DAY = 86_400
_NUMBER = re.compile(r"^[0-9]+(\.[0-9]+)?$")
_COMPACT = re.compile(r"^[12][0-9]{3}[01][0-9][0-3][0-9]$")
_UNITS = ((10**11, US_PER_S, 1), (10**14, 1_000, 1), (10**17, 1, 1), (10**20, 1, 1_000))
"""Epoch numbers below a bound are seconds, milliseconds, microseconds, nanoseconds: times from 1973 to 2100
differ by a factor of a thousand in each unit, so there is no doubt."""
_FORMS = (
    "%d.%m.%Y %H:%M:%S.%f",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%Y.%m.%d %H:%M:%S",
    "%Y.%m.%d %H:%M",
    "%Y.%m.%d",
    "%Y-%m-%d %I:%M:%S %p",
    "%Y-%m-%d %I:%M %p",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
)


EPOCH, NAIVE = "epoch", ""
"""How a time may be written, beside with another offset such as `+02:00`."""


def time_of(text: str) -> tuple[int, str]:
    """(microseconds, how it was written: EPOCH, its offset from UTC, or NAIVE where it has none).

    ISO 8601 (also with ` UTC` after it), dates, `20240131`, epoch seconds to nanoseconds,
    `31.01.2024 16:00`, `2024.01.31 16:00`, `2024/01/31 16:00` and `2024-01-31 04:00 PM`. Without an offset it
    is taken for UTC. Raises InvalidEventError.
    """
    text = text.strip()
    if _COMPACT.match(text):
        return _micros(datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC), text), NAIVE
    if _NUMBER.match(text):
        return epoch_us(text), EPOCH
    moment = _parsed(text)
    if moment.tzinfo is None:
        return _micros(moment.replace(tzinfo=UTC), text), NAIVE
    return _micros(moment, text), _offset_text(moment)


def epoch_us(text: str) -> int:
    """A number since the epoch, its unit told by its size. Raises InvalidEventError."""
    whole, _, rest = text.partition(".")
    value = int(whole)
    for below, times, per in _UNITS:
        if value < below:
            time_us = value * times // per
            if times > 1 and rest:
                time_us += int(rest[:6].ljust(6, "0")) * times // US_PER_S
            return _checked(time_us, text)
    raise InvalidEventError("time", f"{text[:32]!r} is no time since 1970")


def _offset_text(moment: datetime) -> str:
    away = moment.utcoffset()
    minutes = int(away.total_seconds() // 60) if away is not None else 0
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def _parsed(text: str) -> datetime:
    for name in (" UTC", " GMT"):
        text = text.replace(name, "+00:00") if text.endswith(name) else text
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for form in _FORMS:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - the caller gives it UTC
        except ValueError:
            continue
    raise InvalidEventError("time", f"{text[:32]!r} is no time such as 2024-05-01T16:00:00Z or 1714579200")


def _micros(moment: datetime, text: str) -> int:
    since = moment - _EPOCH
    return _checked((since.days * _SECONDS_PER_DAY + since.seconds) * US_PER_S + since.microseconds, text)


def _checked(time_us: int, text: str) -> int:
    if not 0 <= time_us <= limits.MAX_EVENT_TIME_US:
        raise InvalidEventError("time", f"{text[:32]!r} is not between 1970-01-01 and 2100-01-01")
    return time_us


def day_text(time_us: int) -> str:
    """For people: `2024-01-31 16:00`, without the time of day at midnight."""
    text = datetime.fromtimestamp(time_us // US_PER_S, UTC).strftime("%Y-%m-%d %H:%M")
    return text.removesuffix(" 00:00")
