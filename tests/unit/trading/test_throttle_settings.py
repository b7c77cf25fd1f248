"""A throttle is refused by name wherever a rule is made of it, whoever made its settings."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline.config.schema import Throttle
from pipeline.errors import ConfigError
from pipeline.trading.throttle import compile_rule

FINE = {"max_trades": 1000, "window_seconds": 31_536_000, "max_notional": "0.5", "multiplier": "0"}


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("window_seconds", 0, "allowed: 1 to 31536000"),
        ("window_seconds", -5, "allowed: 1 to 31536000"),
        ("window_seconds", 31_536_001, "allowed: 1 to 31536000"),
        ("window_seconds", 1.5, "allowed: 1 to 31536000"),
        ("window_seconds", float("nan"), "allowed: 1 to 31536000"),
        ("max_trades", -3, "allowed: 0 to 1000"),
        ("max_trades", 1001, "allowed: 0 to 1000"),
        ("max_trades", True, "allowed: 0 to 1000"),
        ("cooldown_seconds", -5, "allowed: 0 to 31536000"),
        ("min_spacing_seconds", -1, "allowed: 0 to 31536000"),
        ("max_notional", "-5", "must not be negative"),
        ("max_notional", "NaN", "expected a decimal number such as '0.5', as text"),
        ("max_notional", "Infinity", "expected a decimal number such as '0.5', as text"),
        ("max_notional", "1e999999999", "expected a decimal number such as '0.5', as text"),
        ("max_notional", "", "expected a decimal number such as '0.5', as text"),
        ("max_notional", "1\n", "expected a decimal number such as '0.5', as text"),
        ("max_notional", 5, "expected a decimal number such as '0.5', as text"),
        ("max_notional", "1" * 33, "has 33 characters; the limit is 32"),
        ("multiplier", "2", "allowed: 0 to 1"),
        ("multiplier", "1.0001", "allowed: 0 to 1"),
        ("multiplier", "-1", "allowed: 0 to 1"),
        ("multiplier", "sNaN", "expected a decimal number such as '0.5', as text"),
    ],
)
def test_every_nonsensical_setting_is_refused_by_name_value_and_limit(
    field: str, value: Any, allowed: str
) -> None:
    throttle = Throttle(name="x", **(FINE | {field: value}))  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as caught:
        compile_rule(throttle, 8)
    assert caught.value.faults == [f"throttle x: {field} = {value!r}: {allowed}"]


def test_all_faults_are_told_at_once_and_none_of_a_throttle_that_makes_sense() -> None:
    throttle = Throttle(name="x", **FINE)  # type: ignore[arg-type]
    assert compile_rule(throttle, 8).halted
    bad = msgspec.structs.replace(throttle, window_seconds=0, multiplier="7", max_trades=-1)
    with pytest.raises(ConfigError) as caught:
        compile_rule(bad, 8)
    assert [fault.split()[2] for fault in caught.value.faults] == [
        "max_trades",
        "window_seconds",
        "multiplier",
    ]
