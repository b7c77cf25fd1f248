from __future__ import annotations

from typing import Any

import pytest

from pipeline.clock import FakeClock
from pipeline.config import Config, resolve
from pipeline.errors import InvalidEventError
from pipeline.messages import Outcome
from pipeline.performance.manager import Trade
from pipeline.signing import SignatureError
from pipeline.stages.inprocess import InProcessManager, InProcessPipeline, candle_bodies


def throttled(**rules: Any) -> Config:
    return resolve({"trading": {"throttles": [{"name": "t", **rules}]}})


def test_a_trade_goes_all_the_way_and_the_next_meets_the_throttle() -> None:
    clock = FakeClock()
    manager = InProcessManager(throttled(max_trades=1), clock=clock)
    first, second = manager.submit(clock.monotonic_ns()), manager.submit(clock.monotonic_ns())
    assert (first.ordered, first.throttle_state, first.reasons) == (True, "open", ())
    assert (second.ordered, second.throttle_state) == (False, "rate_limited")
    assert second.throttle_message == (
        "Throttled: too many trades in short time (limit 1 trade per 1 minute)"
    )
    assert second.retry_at == "2023-11-14T22:14:20+00:00"
    clock.advance(s=60)
    assert manager.submit(clock.monotonic_ns()).ordered


def test_the_scopes_are_those_of_the_trades() -> None:
    clock = FakeClock()
    manager = InProcessManager(throttled(max_trades=1, max_notional="1000"), clock=clock)
    manager.submit(clock.monotonic_ns())
    scopes = manager.get_trade_throttle_scope_snapshots()
    own = next(item for item in scopes if item["scope"]["strategy_id"] == "baseline")
    assert (own["state"], own["remaining_trades"], own["window_utilisation"]) == ("rate_limited", 0, 1.0)
    assert own["throttle_consumed_notional"] == "100"
    assert own["throttle_remaining_notional"] == "900"
    assert own["throttle_notional_utilisation"] == 0.1
    assert own["retry_at"] == "2023-11-14T22:14:20+00:00"


def test_notional_alone_limits_too() -> None:
    clock = FakeClock()
    manager = InProcessManager(throttled(max_notional="250"), clock=clock)
    states = [manager.submit(clock.monotonic_ns()).throttle_state for _ in range(3)]
    assert states == ["open", "open", "rate_limited"]


def test_lateness_is_lag() -> None:
    clock = FakeClock()
    manager = InProcessManager(Config(), clock=clock)
    assert manager.submit(clock.monotonic_ns() - 7_000_000).lag_ms == 7
    assert manager.submit(clock.monotonic_ns() + 7_000_000).lag_ms == 0


def test_the_settings_shown_are_those_of_the_first_throttle_that_applies() -> None:
    tree = {
        "throttles": [
            {"name": "other", "max_trades": 9, "scope": {"symbol": "X"}},
            {"name": "mine", "max_trades": 3, "multiplier": "0.5"},
        ]
    }
    config = resolve({"trading": tree})
    assert InProcessManager(config).trade_throttle == {
        "name": "mine",
        "max_trades": 3,
        "window_seconds": 60,
        "cooldown_seconds": 0,
        "min_spacing_seconds": 0,
        "max_notional": "0",
        "multiplier": "0.5",
        "scope": {"strategy_id": None, "symbol": None},
    }
    named = InProcessManager(config, Trade(symbol="X")).trade_throttle
    assert named is not None
    assert named["name"] == "other"
    assert InProcessManager(resolve({"trading": {"throttles": []}})).trade_throttle is None


@pytest.mark.parametrize(
    ("trade", "field"),
    [
        (Trade(symbol="no good"), "symbol"),
        (Trade(quantity="-1"), "quantity"),
        (Trade(quantity="nan"), "quantity"),
        (Trade(price="0"), "price"),
        (Trade(price="1e5"), "price"),
    ],
)
def test_a_trade_that_the_gateway_would_refuse_is_refused_by_name(trade: Trade, field: str) -> None:
    with pytest.raises(InvalidEventError, match=f"^{field}: "):
        InProcessManager(Config(), trade)


def test_every_round_gets_the_same_work_and_it_is_real() -> None:
    config = Config()
    assert list(candle_bodies(config, "A", 5)) == list(candle_bodies(config, "A", 5))
    manager = InProcessManager(config)
    outcomes = [[call().outcome for call in manager.calls(200)] for _ in range(2)]  # type: ignore[attr-defined]
    assert outcomes[0] == outcomes[1]
    assert {Outcome.HELD, Outcome.FILLED} <= set(outcomes[0])


def test_candles_fit_any_instrument() -> None:
    instrument = {"price_scale": 2, "quantity_scale": 0, "tick": "0.25", "lot": "1"}
    pipeline = InProcessPipeline(config := resolve({"trading": {"instruments": {"default": instrument}}}))
    for number, body in enumerate(candle_bodies(config, "A", 20)):
        pipeline.handle(pipeline.sign(str(number), body))
    assert pipeline.audit.chain.seq == 20


def test_what_the_gateway_refuses_is_refused_here() -> None:
    pipeline = InProcessPipeline(Config())
    with pytest.raises(InvalidEventError, match="control events are not taken here"):
        pipeline.handle(pipeline.sign("1", b'{"type":"control","action":"halt"}'))
    posted = pipeline.sign("2", b"{}")
    with pytest.raises(SignatureError):
        pipeline.handle(posted._replace(body=b"{ }"))


@pytest.mark.parametrize(
    ("per", "scope"),
    [
        ("symbol", {"strategy_id": None, "symbol": "BASELINE"}),
        ("strategy", {"strategy_id": "baseline", "symbol": None}),
        ("global", {"strategy_id": None, "symbol": None}),
    ],
)
def test_a_throttle_wider_than_a_strategy_in_a_symbol_has_its_snapshot(per: str, scope: Any) -> None:
    clock = FakeClock()
    manager = InProcessManager(throttled(per=per, max_trades=1, max_notional="1000"), clock=clock)
    for _ in range(3):
        manager.submit(clock.monotonic_ns())
    (shown,) = manager.get_trade_throttle_scope_snapshots()
    assert (shown["name"], shown["scope"], shown["state"]) == ("t", scope, "rate_limited")
    assert (shown["remaining_trades"], shown["window_utilisation"]) == (0, 1.0)
    assert (shown["throttle_consumed_notional"], shown["throttle_remaining_notional"]) == ("100", "900")
    assert (shown["throttle_notional_utilisation"], shown["retry_at"]) == (0.1, "2023-11-14T22:14:20+00:00")
