"""Trading settings that do not fit together are refused before anything starts, each by name."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import resolve
from pipeline.errors import ConfigError


@pytest.mark.parametrize(
    ("tree", "fault"),
    [
        (
            {"throttles": [{"name": "a"}, {"name": "a"}]},
            "trading.throttles[1].name = 'a': taken by another; a throttle's memory goes by its name",
        ),
        (
            {"strategies": {"s": {"kind": "breakout", "quantity": "0.00001"}}},
            (
                "trading.strategies.s.quantity = '0.00001': must be a multiple of the lot 0.0001"
                " of instrument default"
            ),
        ),
        (
            {"signal_quantity": "1000000000000"},
            (
                "trading.signal_quantity = '1000000000000': at most 100000000000, the limit of instrument"
                " default"
            ),
        ),
        ({"max_signal_quantity": "0"}, "trading.max_signal_quantity = '0': must be positive"),
        ({"signal_quantity": "-1"}, "trading.signal_quantity = '-1': must be positive"),
        (
            {"instruments": {"default": {"tick": "99999999999999"}}},
            (
                "trading.instruments.default.tick = '99999999999999': must be a positive multiple of 10^-4, "
                "the scale of this instrument"
            ),
        ),
    ],
)
def test_a_trading_fault_is_named(tree: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve({"trading": tree})
    assert caught.value.faults == [fault]


def test_a_quantity_counts_only_where_it_is_traded() -> None:
    instruments = {"default": {}, "BIG": {"lot": "1000"}}
    alone = {"kind": "breakout", "quantity": "1", "symbols": ["AAPL"]}
    tree = {"instruments": instruments, "strategies": {"s": alone}, "signal_quantity": "1000"}
    assert resolve({"trading": tree}).trading.strategies["s"].quantity == "1"
    with pytest.raises(ConfigError, match="lot 1000 of instrument BIG"):
        resolve({"trading": {**tree, "strategies": {"s": {**alone, "symbols": []}}}})


@pytest.mark.parametrize("name", ["commission_bps", "slippage_bps"])
def test_costs_beyond_the_whole_notional_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"exec.{name} = '10001': allowed: 0 to 10000"):
        resolve({"exec": {name: "10001"}})


def test_a_window_larger_than_a_state_may_hold_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"max_trades = 1001.*allowed: 0 to 1000"):
        resolve({"trading": {"throttles": [{"name": "a", "max_trades": 1001}]}})
