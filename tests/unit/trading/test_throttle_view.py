from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline import limits
from pipeline.clock import US_PER_S
from pipeline.config.schema import Throttle
from pipeline.trading.throttle import compile_rule, enter, leave, origin
from pipeline.trading.throttle_view import iso_time, span_text, throttle_snapshot

START_US = 1_700_000_000 * US_PER_S


def view(throttle: Throttle, *, entries: int = 0, left: bool = False) -> dict[str, Any]:
    rules = (compile_rule(throttle, 2),)
    scope = origin()
    for index in range(entries):
        scope = enter(scope, START_US + index, 400_00)
    if left:
        scope = leave(scope, START_US)
    return throttle_snapshot(rules[0], scope, START_US + 10, strategy_id="sma", symbol="AAPL")


def test_a_full_window_reads_as_people_say_it() -> None:
    shown = view(Throttle(name="t", max_trades=1, window_seconds=60), entries=1)
    assert shown["state"] == "rate_limited"
    assert shown["message"] == "Throttled: too many trades in short time (limit 1 trade per 1 minute)"
    assert shown["retry_at"] == "2023-11-14T22:14:20+00:00"
    assert shown["scope"] == {"strategy_id": "sma", "symbol": "AAPL"}
    assert (shown["remaining_trades"], shown["window_utilisation"]) == (0, 1.0)
    assert shown["throttle_remaining_notional"] is None


def test_notional_is_shown_as_exact_text_with_its_share() -> None:
    shown = view(Throttle(name="t", max_notional="1000", window_seconds=3600), entries=1)
    assert shown["state"] == "open"
    assert shown["message"] == ""
    assert shown["retry_at"] is None
    assert shown["throttle_consumed_notional"] == "400"
    assert shown["throttle_remaining_notional"] == "600"
    assert shown["throttle_notional_utilisation"] == 0.4
    assert shown["remaining_trades"] is None


@pytest.mark.parametrize(
    ("throttle", "entries", "left", "state", "message"),
    [
        (Throttle(name="t", multiplier="0"), 0, False, "halted", "Halted: the throttle's multiplier is 0"),
        (
            Throttle(name="t", cooldown_seconds=90),
            0,
            True,
            "cooling_down",
            "Cooling down: 90 seconds after an exit",
        ),
        (
            Throttle(name="t", min_spacing_seconds=7200),
            1,
            False,
            "rate_limited",
            "Throttled: entries need 2 hours between them",
        ),
        (
            Throttle(name="t", max_notional="800", window_seconds=86400),
            2,
            False,
            "rate_limited",
            "Throttled: too much notional in short time (limit 800 per 1 day)",
        ),
        (
            Throttle(name="t", max_trades=2, min_spacing_seconds=1),
            2,
            True,
            "rate_limited",
            (
                "Throttled: too many trades in short time (limit 2 trades per 1 minute); "
                "Throttled: entries need 1 second between them"
            ),
        ),
    ],
)
def test_every_state_has_its_sentence(
    throttle: Throttle, entries: int, left: bool, state: str, message: str
) -> None:
    shown = view(throttle, entries=entries, left=left)
    assert (shown["state"], shown["message"]) == (state, message)


def test_where_nobody_limits_the_trades_what_is_remembered_of_them_is_shown() -> None:
    throttle = Throttle(name="t", max_notional="1000000000", window_seconds=86400)
    shown = view(throttle, entries=3)
    assert (shown["max_trades"], shown["memory_used_trades"]) == (None, 3)
    assert (shown["memory_max_trades"], shown["state"]) == (limits.MAX_WINDOW_TRADES, "open")
    full = view(throttle, entries=limits.MAX_WINDOW_TRADES)
    assert (full["state"], full["max_trades"]) == ("rate_limited", None)
    said = "Throttled: 1000 trades per 1 day are remembered to count their notional, no more"
    assert full["message"] == said
    limited = view(msgspec.structs.replace(throttle, max_trades=5))
    assert (limited["memory_used_trades"], limited["memory_max_trades"]) == (None, None)


def test_times_carry_their_offset_and_spans_their_largest_unit() -> None:
    assert iso_time(1) == "1970-01-01T00:00:00.000001+00:00"
    assert [span_text(s) for s in (0, 1, 60, 3600, 172_800, 61)] == [
        "0 seconds",
        "1 second",
        "1 minute",
        "1 hour",
        "2 days",
        "61 seconds",
    ]
