"""What a throttle may be set to: checked wherever rules are made of it, not only where files are read."""

from __future__ import annotations

import re
from decimal import Decimal

from pipeline import limits
from pipeline.clock import US_PER_S
from pipeline.config import schema
from pipeline.errors import ConfigError

_MOST_S = limits.MAX_SCOPE_TIME_US // US_PER_S
_RANGES = (
    ("max_trades", 0, limits.MAX_WINDOW_TRADES),
    ("window_seconds", 1, _MOST_S),
    ("cooldown_seconds", 0, _MOST_S),
    ("min_spacing_seconds", 0, _MOST_S),
)
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def check_throttle(throttle: schema.Throttle) -> None:
    """Raises ConfigError with every fault: the throttle, the field, its value and what is allowed."""
    faults = [
        f"throttle {throttle.name}: {field} = {value!r}: allowed: {least} to {most}"
        for field, least, most in _RANGES
        if type(value := getattr(throttle, field)) is not int or not least <= value <= most
    ]
    for field, most in (("max_notional", ""), ("multiplier", "1")):
        fault = _decimal_fault(getattr(throttle, field), most)
        if fault:
            faults.append(f"throttle {throttle.name}: {field} = {getattr(throttle, field)!r}: {fault}")
    if faults:
        raise ConfigError(faults)


def _decimal_fault(text: object, most: str) -> str:
    """Why it is no decimal text from 0 up to `most` ("": any); "" when it is."""
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        return "expected a decimal number such as '0.5', as text"
    if len(text) > limits.MAX_DECIMAL_CHARS:
        return f"has {len(text)} characters; the limit is {limits.MAX_DECIMAL_CHARS}"
    value = Decimal(text)
    if most and not 0 <= value <= Decimal(most):
        return f"allowed: 0 to {most}"
    return "must not be negative" if value < 0 else ""
