from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.config import resolve, schema
from pipeline.errors import ConfigError
from pipeline.messages import BUY, SELL, Candle, Signal, Verdict
from pipeline.trading.agent import AgentLogic
from pipeline.trading.reasons import code_of
from pipeline.trading.risk import session_of

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
INSTRUMENT = schema.Instrument(price_scale=0, quantity_scale=0, tick="1", lot="1")


def desk(instrument: schema.Instrument = INSTRUMENT, **risk: str) -> AgentLogic:
    trading = schema.Trading(
        instruments={"default": instrument}, strategies={}, throttles=(), risk=schema.Risk(**risk)
    )
    return AgentLogic(trading, "signal_price")


def bar(time_us: int, close: int) -> Candle:
    return Candle("K", time_us, close, close, close, close, 0)


class Day:
    """A key that is told one thing after the other."""

    def __init__(self, agent: AgentLogic) -> None:
        self.agent = agent
        self.state = agent.origin("K")
        self.seq = 0

    def tell(self, event: Any, at_us: int = 0) -> list[tuple[int, list[str]]]:
        self.seq += 1
        self.state, decision = self.agent.step(self.state, event, key_seq=self.seq, at_us=at_us)
        return [(leg.verdict, [code_of(reason) for reason in leg.reasons]) for leg in decision.legs]


ORDERED: list[tuple[int, list[str]]] = [(int(Verdict.ORDERED), [])]


def denied(*codes: str) -> list[tuple[int, list[str]]]:
    return [(int(Verdict.DENIED), list(codes))]


def test_an_entry_is_bounded_by_order_and_position_and_an_exit_by_neither() -> None:
    day = Day(desk(max_order="5", max_position="8"))
    assert day.tell(Signal("K", "s", BUY, 6, 10)) == denied("RISK_MAX_ORDER")
    assert day.tell(Signal("K", "s", BUY, 5, 10)) == ORDERED
    assert day.tell(Signal("K", "s", BUY, 4, 10)) == denied("RISK_MAX_POSITION")
    assert day.tell(Signal("K", "s", BUY, 9, 10)) == denied("RISK_MAX_ORDER", "RISK_MAX_POSITION")
    assert day.tell(Signal("K", "s", BUY, 3, 10)) == ORDERED
    assert day.tell(Signal("K", "s", 0, 0, 10)) == ORDERED


def test_a_price_far_from_the_last_close_enters_nothing() -> None:
    day = Day(desk(price_collar_percent="10"))
    assert day.tell(Signal("K", "s", BUY, 1, 500)) == ORDERED, "no close is known yet"
    day.tell(bar(DAY_US, 100))
    assert day.tell(Signal("K", "t", BUY, 1, 110)) == ORDERED
    assert day.tell(Signal("K", "u", BUY, 1, 111)) == denied("RISK_PRICE_COLLAR")
    assert day.tell(Signal("K", "u", SELL, 1, 89)) == denied("RISK_PRICE_COLLAR")
    assert day.tell(Signal("K", "s", 0, 0, 1)) == ORDERED, "exits pass"


def test_a_daily_loss_refuses_entries_until_midnight_utc() -> None:
    day = Day(desk(max_daily_loss="30"))
    day.tell(bar(10 * DAY_US, 100))
    assert day.tell(Signal("K", "s", BUY, 3, 100)) == ORDERED
    day.tell(bar(10 * DAY_US + HOUR_US, 91))
    assert day.state.day_profit == -27
    assert day.tell(Signal("K", "t", BUY, 1, 91)) == ORDERED
    day.tell(bar(10 * DAY_US + 2 * HOUR_US, 90))
    assert day.state.day_profit == -31
    assert day.tell(Signal("K", "u", BUY, 1, 90)) == denied("RISK_DAILY_LOSS")
    assert day.tell(Signal("K", "t", 0, 0, 90)) == ORDERED
    assert day.tell(Signal("K", "u", BUY, 1, 90), at_us=11 * DAY_US) == ORDERED
    assert day.state.day_profit == 0


def test_a_loss_of_exactly_the_limit_is_one() -> None:
    day = Day(desk(max_daily_loss="30"))
    day.tell(bar(10 * DAY_US, 100))
    assert day.tell(Signal("K", "s", BUY, 3, 100)) == ORDERED
    day.tell(bar(10 * DAY_US + HOUR_US, 90))
    assert day.state.day_profit == -30
    assert day.tell(Signal("K", "t", BUY, 1, 90)) == denied("RISK_DAILY_LOSS")


def test_a_signal_is_marked_at_the_last_close() -> None:
    day = Day(desk(max_daily_loss="30"))
    day.tell(bar(10 * DAY_US, 100))
    day.tell(Signal("K", "s", BUY, 10, 104))
    assert day.state.day_profit == -40
    assert day.tell(Signal("K", "s", BUY, 1, 100)) == denied("RISK_DAILY_LOSS")


def test_outside_the_session_entries_are_refused_and_exits_pass() -> None:
    day = Day(
        desk(schema.Instrument(price_scale=0, quantity_scale=0, tick="1", lot="1", session="08:00-16:00"))
    )
    assert day.tell(Signal("K", "s", BUY, 1, 10), at_us=8 * HOUR_US) == ORDERED
    assert day.tell(Signal("K", "t", BUY, 1, 10), at_us=16 * HOUR_US + 1) == denied("RISK_SESSION")
    assert day.tell(Signal("K", "s", 0, 0, 10), at_us=17 * HOUR_US) == ORDERED


@pytest.mark.parametrize(
    ("text", "moment", "is_open"),
    [
        ("mon-fri 14:30-21:00", "2024-01-05T14:30:00", True),
        ("mon-fri 14:30-21:00", "2024-01-05T21:00:00", True),
        ("mon-fri 14:30-21:00", "2024-01-05T21:00:01", False),
        ("mon-fri 14:30-21:00", "2024-01-06T15:00:00", False),
        ("sun-thu 22:00-21:00", "2024-01-07T22:30:00", True),
        ("sun-thu 22:00-21:00", "2024-01-12T20:00:00", True),
        ("sun-thu 22:00-21:00", "2024-01-12T22:30:00", False),
        ("sat-sun 00:00-24:00", "2024-01-07T23:59:59", True),
        ("sat-sun 00:00-24:00", "2024-01-08T00:00:01", False),
    ],
)
def test_sessions_are_days_and_times_in_utc(text: str, moment: str, is_open: bool) -> None:
    time_us = int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()) * 1_000_000
    assert session_of(text).open_at(time_us) is is_open


@pytest.mark.parametrize("text", ["always", "09:00", "mon 09:00-10:00", "mon-fro 09:00-10:00", "25:00-26:00"])
def test_an_impossible_session_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="session = "):
        session_of(text)
    with pytest.raises(ConfigError, match=r"trading\.instruments\.default\.session"):
        resolve({"trading": {"instruments": {"default": {"session": text}}}})


@pytest.mark.parametrize("field", schema.Risk.__struct_fields__)
def test_a_negative_limit_is_refused_by_name(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"trading\.risk\.{field} = '-1': must not be negative"):
        resolve({"trading": {"risk": {field: "-1"}}})
    with pytest.raises(ConfigError, match=field):
        resolve({"trading": {"risk": {field: "NaN"}}})


def test_fills_by_volume_need_orders_that_rest() -> None:
    with pytest.raises(ConfigError, match="orders never rest under fill_policy signal_price"):
        resolve({"exec": {"volume_limit_percent": "5", "fill_policy": "signal_price"}})
    with pytest.raises(ConfigError, match=r"exec\.volume_limit_percent = '101': allowed: 0 to 100"):
        resolve({"exec": {"volume_limit_percent": "101"}})
