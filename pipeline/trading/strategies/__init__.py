"""Strategies: what decides on candles. `KINDS` names those that a configuration can ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.config import schema
from pipeline.trading.decimals import fraction
from pipeline.trading.strategies.breakout import Breakout
from pipeline.trading.strategies.custom import Custom
from pipeline.trading.strategies.ensemble import Ensemble
from pipeline.trading.strategies.mean_reversion import MeanReversion
from pipeline.trading.strategies.protocol import FULL, Strategy
from pipeline.trading.strategies.sma_cross import SmaCross
from pipeline.trading.strategies.volatility_target import VolatilityTarget

Factory = Callable[[schema.Strategy], Strategy]


def _sma_cross(section: schema.Strategy) -> Strategy:
    return SmaCross(section.fast, section.slow, short=section.short)


def _breakout(section: schema.Strategy) -> Strategy:
    return Breakout(section.lookback, section.exit_lookback, short=section.short)


def _mean_reversion(section: schema.Strategy) -> Strategy:
    return MeanReversion(section.lookback, fraction(section.deviations), short=section.short)


def _volatility_target(section: schema.Strategy) -> Strategy:
    return VolatilityTarget(
        section.lookback, fraction(section.target_bps) / 10_000, fraction(section.rebalance_percent) / 100
    )


def _custom(section: schema.Strategy) -> Strategy:
    return Custom(section.source, section.parameters)


ENSEMBLE = "ensemble"
"""The kind that is made of others: `plan` makes it when they are."""

KINDS: Mapping[str, Factory] = {
    "sma_cross": _sma_cross,
    "breakout": _breakout,
    "mean_reversion": _mean_reversion,
    "volatility_target": _volatility_target,
    "custom": _custom,
}

__all__ = [
    "ENSEMBLE",
    "FULL",
    "KINDS",
    "Breakout",
    "Custom",
    "Ensemble",
    "Factory",
    "MeanReversion",
    "SmaCross",
    "Strategy",
    "VolatilityTarget",
]
