from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from pipeline.config import Config
from pipeline.delivery import Delivery
from pipeline.messages import (
    BUY,
    Candle,
    CandleIn,
    Decision,
    Fate,
    Fill,
    Fills,
    Leg,
    Outcome,
    Verdict,
    encode,
)
from pipeline.replay.facts import Facts, Match
from pipeline.replay.history import first, read_history
from pipeline.replay.posts import webhook_id
from pipeline.trading.instruments import Instruments

PLANNED = first(read_history(), 10)
TRADING = Config().trading
HELD = Decision()
NONE = Fills()
FILL = Fill(
    order_seq=1, order_leg=0, strategy="sma", side=BUY, quantity=1_000_000, price=40_000, commission=500,
    realised=0, position=1_000_000, policy="next_open",
)  # fmt: skip


def row(
    candle: CandleIn,
    key_seq: int,
    *,
    decision: Decision = HELD,
    fills: Fills = NONE,
    run: str = "run",
) -> Delivery:
    event = Instruments(TRADING).inside(candle)
    assert isinstance(event, Candle)
    return Delivery(
        key=candle.symbol, key_seq=key_seq, event_id=b"", source="demo",
        webhook_id=webhook_id(run, candle.symbol, candle.time), accepted_us=1, fate=Fate.LIVE,
        payload=encode(event), decision=encode(decision), fills=encode(fills), outcome=Outcome.HELD,
    )  # fmt: skip


def rows() -> list[Delivery]:
    return [row(candle, index + 1) for candles in PLANNED.values() for index, candle in enumerate(candles)]


def facts_of(found: Iterable[Delivery]) -> Facts:
    facts = Facts(TRADING, 2)
    for each in found:
        facts.add(each)
    return facts


def match_of(found: Sequence[Delivery], accepted: int = 2) -> Match:
    return Match("run", PLANNED, dict.fromkeys(PLANNED, accepted), facts_of(found))


def test_all_rows_in_their_turn_leave_no_fault() -> None:
    match = match_of(rows())
    assert (match.audited, match.missing, match.doubled, match.misplaced, match.foreign) == (10, 0, 0, 0, 0)
    assert list(match.faults()) == []


def test_an_accepted_event_without_a_row_is_missing() -> None:
    match = match_of(rows()[1:])
    assert (match.audited, match.missing) == (9, 1)
    assert list(match.faults()) == ["1 accepted events have no audit row"]


def test_a_row_of_an_unconfirmed_event_is_no_fault() -> None:
    match = match_of(rows(), accepted=1)
    assert match.audited == 5
    assert list(match.faults()) == []


def test_a_second_row_of_an_event_is_a_fault() -> None:
    found = rows()
    match = match_of([*found, found[0]])
    assert (match.audited, match.doubled) == (9, 1)
    assert "more than one audit row" in "".join(match.faults())


def test_rows_out_of_their_turn_are_a_fault() -> None:
    one, two, *others = rows()
    candle = PLANNED["AAPL"]
    match = match_of([row(candle[1], 1), row(candle[0], 2), *others])
    assert match.misplaced == 2
    assert "out of order" in "".join(match.faults())
    assert one.key == two.key == "AAPL"


def test_rows_of_another_run_are_a_fault() -> None:
    match = match_of([*rows(), row(PLANNED["FB"][0], 3, run="other")])
    assert match.foreign == 1


def test_orders_fills_denials_and_outcomes_are_counted() -> None:
    decision = Decision(
        legs=(
            Leg("sma", Verdict.ORDERED, BUY, 1, 1),
            Leg("breakout", Verdict.DENIED, reasons=("THROTTLE_WINDOW: a=1", "THROTTLE_COOLDOWN: b=2")),
            Leg("third", Verdict.HELD),
        )
    )
    candles = PLANNED["AAPL"]
    facts = facts_of(
        [
            row(candles[0], 1, decision=decision),
            row(candles[1], 2, decision=Decision(rejected="CANDLE_STALE: x=1"), fills=Fills(fills=(FILL,))),
        ]
    )
    assert (facts.rows, facts.orders, facts.fills) == (2, 1, 1)
    assert facts.denials == {"THROTTLE_WINDOW": 1, "THROTTLE_COOLDOWN": 1, "CANDLE_STALE": 1}
    assert facts.outcomes == {"held": 2}


def test_profit_and_loss_is_marked_at_the_last_close() -> None:
    candles = PLANNED["AAPL"]
    facts = facts_of([row(candles[0], 1, fills=Fills(fills=(FILL,))), row(candles[1], 2)])
    (line,) = facts.pnl()
    assert (line.strategy, line.symbol, line.fills, line.position) == ("sma", "AAPL", 1, "100")
    expected = 100 * (float(candles[1].close) - 4.0) - 0.000005
    assert float(line.net) == pytest.approx(expected, abs=1e-6)


def test_equity_ends_with_the_last_day() -> None:
    candles = PLANNED["AAPL"]
    facts = facts_of([row(candles[0], 1, fills=Fills(fills=(FILL,))), row(candles[1], 2)])
    (line,) = facts.equity()
    assert line.dates == tuple(candle.time[:10] for candle in candles)
    assert line.net[-1] == facts.pnl()[0].net


def test_a_tombstone_counts_by_its_outcome_alone() -> None:
    dead = row(PLANNED["IBM"][0], 1)
    dead = Delivery(
        key=dead.key, key_seq=1, event_id=b"", source="", webhook_id=dead.webhook_id, accepted_us=1,
        fate=Fate.DEAD_LETTERED, payload=b"", outcome=Outcome.DEAD_LETTERED,
    )  # fmt: skip
    facts = facts_of([dead])
    assert facts.outcomes == {"dead_lettered": 1}
    assert facts.pnl() == ()
