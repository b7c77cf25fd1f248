from __future__ import annotations

import pytest

from pipeline.messages import Decision, Leg, Verdict
from pipeline.stages.throttled import denial_of, sentence
from pipeline.trading.reasons import Reason, describe

HALTED = describe(Reason.THROTTLE_HALTED, multiplier=0, throttle="t")
WINDOW = describe(Reason.THROTTLE_WINDOW, limit=3, window_seconds=90, throttle="t")
NOTIONAL = describe(
    Reason.THROTTLE_NOTIONAL, limit="10.5", used="9", wanted="2", window_seconds=3600, throttle="t"
)
MEMORY = describe(Reason.THROTTLE_MEMORY, remembered=1000, window_seconds=86_400, throttle="t")
SPACING = describe(Reason.THROTTLE_SPACING, min_spacing_seconds=5, throttle="t")
COOLDOWN = describe(Reason.THROTTLE_COOLDOWN, cooldown_seconds=86_400, throttle="t")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (HALTED, "Halted: the throttle's multiplier is 0"),
        (WINDOW, "Throttled: too many trades in short time (limit 3 trades per 90 seconds)"),
        (NOTIONAL, "Throttled: too much notional in short time (limit 10.5 per 1 hour)"),
        (MEMORY, "Throttled: 1000 trades per 1 day are remembered to count their notional, no more"),
        (SPACING, "Throttled: entries need 5 seconds between them"),
        (COOLDOWN, "Cooling down: 1 day after an exit"),
        ("THROTTLE_NEW: limit=1", "THROTTLE_NEW: limit=1"),
    ],
)
def test_a_reason_in_words(reason: str, said: str) -> None:
    assert sentence(reason) == said


@pytest.mark.parametrize(
    ("reasons", "state"),
    [
        ((COOLDOWN,), "cooling_down"),
        ((COOLDOWN, WINDOW), "rate_limited"),
        ((WINDOW, HALTED), "halted"),
        ((MEMORY,), "rate_limited"),
        ((describe(Reason.RISK_HALTED, by="halt"),), "open"),
    ],
)
def test_the_worst_reason_makes_the_state(reasons: tuple[str, ...], state: str) -> None:
    leg = Leg("s", int(Verdict.DENIED), 1, 10, 10, reasons, 60_000_000, "entry")
    denial = denial_of(Decision((leg,)))
    assert (denial.ordered, denial.state, denial.reasons) == (False, state, reasons)
    assert denial.retry_at == "1970-01-01T00:01:00+00:00"


def test_what_was_ordered_has_nothing_to_say() -> None:
    denial = denial_of(Decision((Leg("s", int(Verdict.ORDERED), 1, 10, 10),)))
    assert denial == (True, (), "open", "", None)


def test_an_event_that_was_rejected_itself_tells_why() -> None:
    reason = describe(Reason.SIGNAL_UNPRICED, strategy="s")
    assert denial_of(Decision(rejected=reason)).reasons == (reason,)
