"""A register of fills: whatever arrives again, late or altered, a position is what really happened."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.config import schema
from pipeline.delivery import Delivery, Tail
from pipeline.messages import BUY, SELL, Cancel, Candle, Decision, Fill, Fills, Leg, Verdict, encode
from pipeline.stages.exec_steps import ExecSteps
from pipeline.telemetry.recorder import NullRecorder
from pipeline.trading.exec import ExecLogic
from pipeline.trading.exec_state import ExecState
from pipeline.trading.fill_register import (
    FillConflictError,
    FillRegister,
    ForgottenFillError,
    OverfillError,
    fill_id,
)

Row = tuple[int, Candle, Decision, Fills]


def fill(quantity: int = 10, *, order: int = 1, price: int = 1000) -> Fill:
    return Fill(order, 0, "s", BUY, quantity, price, 0, 0, quantity, "next_open")


def history(wishes: list[int], volumes: list[int]) -> tuple[ExecLogic, list[Row], ExecState]:
    """Candles with orders (signed quantities, 0: none) filled by volume: rows and the last state."""
    logic = ExecLogic(schema.Trading(), schema.Exec(volume_limit_percent="50"))
    state, rows = logic.origin("K"), []
    for seq, (wish, volume) in enumerate(zip(wishes, volumes, strict=True), 1):
        candle = Candle("K", seq, 1000, 1100, 900, 1000, volume)
        side = BUY if wish > 0 else SELL
        legs = (Leg("s", int(Verdict.ORDERED), side, abs(wish), 1000, intent="entry"),) if wish else ()
        state, fills = logic.step(state, candle, Decision(legs), key_seq=seq)
        rows.append((seq, candle, Decision(legs), fills))
    return logic, rows, state


def rebuilt(logic: ExecLogic, rows: list[Row], register: FillRegister) -> ExecState:
    state = logic.origin("K")
    for seq, candle, decision, fills in rows:
        state = logic.apply(state, candle, decision, fills, key_seq=seq, register=register)
    return state


HISTORIES = st.lists(st.tuples(st.integers(-30, 30), st.integers(0, 60)), min_size=1, max_size=25)


@given(HISTORIES, st.data())
def test_replays_of_any_rows_at_any_later_time_change_nothing(
    wanted: list[tuple[int, int]], data: st.DataObject
) -> None:
    logic, rows, last = history(*map(list, zip(*wanted, strict=True)))
    again: list[Row] = []
    for index, row in enumerate(rows):
        again.append(row)
        again += data.draw(st.lists(st.sampled_from(rows[: index + 1]), max_size=3))
    assert rebuilt(logic, again, FillRegister("K")) == last


@given(HISTORIES, st.data())
def test_a_replay_with_other_content_is_always_refused(
    wanted: list[tuple[int, int]], data: st.DataObject
) -> None:
    logic, rows, _ = history(*map(list, zip(*wanted, strict=True)))
    register = FillRegister("K")
    state = rebuilt(logic, rows, register)
    filled = [row for row in rows if row[3].fills]
    if not filled:
        return
    seq, candle, decision, fills = data.draw(st.sampled_from(filled))
    field, by = data.draw(st.sampled_from([("price", 1), ("quantity", 1), ("commission", 7), ("side", -2)]))
    first = fills.fills[0]
    altered = msgspec.structs.replace(first, **{field: getattr(first, field) + by})
    with pytest.raises(FillConflictError, match=f"{field} -?\\d+ and now -?\\d+"):
        logic.apply(state, candle, decision, Fills((altered,)), key_seq=seq, register=register)


@given(st.integers(1, 100), st.lists(st.tuples(st.integers(1, 12), st.integers(-5, 60)), max_size=40))
def test_an_order_never_fills_more_than_it_asked_for(ordered: int, arriving: list[tuple[int, int]]) -> None:
    register = FillRegister("K")
    done: dict[int, int] = {}
    for seq, quantity in arriving:
        left = ordered - sum(done.values())
        try:
            if register.admit(seq, fill(quantity), left if left else None):
                done[seq] = quantity
        except FillConflictError:
            assert done[seq] != quantity
        except OverfillError:
            assert seq not in done
            assert not 0 < quantity <= left
        else:
            assert done[seq] == quantity
    assert sum(done.values()) <= ordered


def test_ids_say_the_event_and_the_order_and_nothing_else() -> None:
    assert fill_id("AAPL", 12, fill(order=11)) == "AAPL:12@11.0"
    assert fill_id("AAPL", 12, Cancel(11, 2, "s", 5)) == "AAPL:12@11.2!"
    assert fill_id("AAPL", 12, fill(99, order=11, price=7)) == "AAPL:12@11.0"


def test_a_fill_and_a_cancellation_of_one_order_on_one_event_are_two() -> None:
    register = FillRegister("K")
    assert register.admit(2, fill(4), 10)
    assert register.admit(2, Cancel(1, 0, "s", 6), 6)
    assert not register.admit(2, Cancel(1, 0, "s", 6), None)
    with pytest.raises(FillConflictError, match=r"cancellation K:2@1\.0! came again .* quantity 6 and now 5"):
        register.admit(2, Cancel(1, 0, "s", 5), None)


def test_a_refusal_notes_nothing() -> None:
    register = FillRegister("K")
    with pytest.raises(OverfillError, match="is of 11 for s: open is 10"):
        register.admit(2, fill(11), 10)
    assert len(register) == 0
    assert register.admit(2, fill(10), 10)


def test_a_fill_of_another_strategys_order_is_none_of_this_order() -> None:
    logic, _, state = history([30], [0])
    stranger = msgspec.structs.replace(fill(30), strategy="t")
    with pytest.raises(OverfillError, match="for t: there is no such order open"):
        logic.apply(state, Candle("K", 2, 1, 1, 1, 1, 1), Decision(), Fills((stranger,)), key_seq=2)


def test_memory_is_bounded_and_what_is_forgotten_is_refused_and_not_guessed() -> None:
    register = FillRegister("K", keep=3)
    for seq in range(1, 6):
        assert register.admit(seq, fill(1), 10)
    assert len(register) == 3
    assert not register.admit(3, fill(1), 10)
    with pytest.raises(ForgottenFillError, match=r"fill K:2@1\.0 is older than the 3"):
        register.admit(2, fill(1), 10)
    assert register.admit(6, fill(1), 10)


def test_one_rebuild_never_needs_more_than_is_remembered() -> None:
    assert limits.MAX_PARTIAL_ORDERS < limits.MAX_REGISTERED_FILLS


def steps_of(logic: ExecLogic) -> ExecSteps:
    return ExecSteps(logic, 64, NullRecorder())


def tail_of(rows: list[Row]) -> Tail:
    deliveries: list[Any] = [
        Delivery(
            "K", seq, b"", "demo", "", 0, 0, encode(candle), decision=encode(decision), fills=encode(fills)
        )
        for seq, candle, decision, fills in rows
    ]
    return Tail("K", rows[-1][0], rows=tuple(deliveries))


def test_a_worker_that_rebuilds_a_key_is_told_of_rows_that_contradict_each_other() -> None:
    logic, rows, last = history([30, 0, 0], [0, 20, 20])
    assert steps_of(logic).rebuild(tail_of([*rows, rows[1]]))[0] == last
    seq, candle, decision, fills = rows[1]
    other = Fills((msgspec.structs.replace(fills.fills[0], price=1),))
    with pytest.raises(FillConflictError, match=r"fill K:2@1\.0 came again as another: price 1000 and now 1"):
        steps_of(logic).rebuild(tail_of([*rows, (seq, candle, decision, other)]))
