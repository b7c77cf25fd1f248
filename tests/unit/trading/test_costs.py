from __future__ import annotations

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.schema import Exec
from pipeline.errors import ConfigError
from pipeline.messages import BUY, SELL
from pipeline.trading.costs import Costs

BPS = st.sampled_from(["0", "1", "0.5", "12.34", "10000", "9999.9"])


@given(BPS, st.integers(0, 2**63))
def test_commission_is_the_exact_share_with_halves_up(bps: str, notional: int) -> None:
    exact = notional * Fraction(bps) / 10_000
    assert Costs(Exec(commission_bps=bps)).commission(notional) == floor(exact + Fraction(1, 2))


@given(BPS, st.integers(1, 10**6), st.sampled_from([1, 5, 100]))
def test_slippage_is_adverse_on_the_tick_and_less_than_a_tick_too_much(
    bps: str, ticks: int, tick: int
) -> None:
    costs, price = Costs(Exec(slippage_bps=bps)), ticks * tick
    worse, better = price * (1 + Fraction(bps) / 10_000), price * (1 - Fraction(bps) / 10_000)
    bought, sold = costs.slipped(price, BUY, tick), costs.slipped(price, SELL, tick)
    assert bought % tick == 0
    assert sold % tick == 0
    assert worse <= bought < worse + tick
    assert sold == max(floor(better / tick) * tick, tick)
    assert bought <= 2 * price


def test_without_slippage_a_price_off_the_tick_stays_as_it_is() -> None:
    costs = Costs(Exec())
    assert costs.slipped(1_234_501, BUY, 100) == 1_234_501
    assert costs.slipped(1_234_501, SELL, 100) == 1_234_501


def test_half_a_unit_of_commission_is_rounded_up() -> None:
    assert Costs(Exec(commission_bps="1")).commission(5_000) == 1
    assert Costs(Exec(commission_bps="1")).commission(4_999) == 0


@pytest.mark.parametrize("section", [Exec(commission_bps="10001"), Exec(slippage_bps="-1")])
def test_costs_out_of_range_are_refused_by_name(section: Exec) -> None:
    with pytest.raises(ConfigError, match=r"exec\.(commission|slippage)_bps = .*: allowed: 0 to 10000"):
        Costs(section)
