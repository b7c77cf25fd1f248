from __future__ import annotations

import pytest

from pipeline.messages import BUY, Decision, Fate, Fill, Fills, Leg, Outcome, Verdict
from pipeline.trading.outcome import outcome

HELD = Leg("a", Verdict.HELD)
ORDERED = Leg("a", Verdict.ORDERED, BUY, 1, 1, intent="entry")
DENIED = Leg("b", Verdict.DENIED, BUY, 1, 1, ("RISK_HALTED: by=halt",), 0, "entry")
FAILED = Leg("b", Verdict.FAILED, reasons=("STRATEGY_RAISED: error=X line=y",))
FILL = Fill(1, 0, "a", BUY, 1, 1, 0, 0, 1, "next_open")


@pytest.mark.parametrize(
    ("decision", "fills", "ended"),
    [
        (Decision((ORDERED, DENIED)), Fills((FILL,), 1), Outcome.FILLED),
        (Decision((HELD,)), Fills((FILL,)), Outcome.FILLED),
        (Decision((DENIED, ORDERED)), Fills((), 1), Outcome.PLACED),
        (Decision((HELD, DENIED)), Fills((), 3), Outcome.REJECTED),
        (Decision((HELD, FAILED)), Fills(), Outcome.REJECTED),
        (Decision(rejected="CANDLE_STALE: x"), Fills((), 1), Outcome.REJECTED),
        (Decision((HELD,)), Fills((), 2), Outcome.HELD),
        (Decision((ORDERED,)), Fills(), Outcome.HELD),
        (Decision(), Fills(), Outcome.HELD),
        (None, None, Outcome.HELD),
    ],
)
def test_the_first_outcome_that_applies_wins(
    decision: Decision | None, fills: Fills | None, ended: Outcome
) -> None:
    assert outcome(Fate.LIVE, decision, fills) == ended


@pytest.mark.parametrize(
    ("fate", "ended"),
    [(Fate.EXPIRED, Outcome.EXPIRED), (Fate.DEAD_LETTERED, Outcome.DEAD_LETTERED)],
)
def test_a_tombstone_ends_by_its_fate_alone(fate: Fate, ended: Outcome) -> None:
    assert outcome(fate, None, None) == ended
    assert outcome(fate, Decision((ORDERED,)), Fills((FILL,))) == ended
