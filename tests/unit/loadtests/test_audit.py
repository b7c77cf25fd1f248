"""The audit beside the ledger: what is lost, doubled or from nowhere is found, in any mixture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.audit import compare
from loadtests.ids import id_number, parse, user_number, webhook_id
from loadtests.ledger import SENT, Ledger, Sent, read_ledgers
from loadtests.row_said import FillSaid, LegSaid, RowSaid

RUN = "0badcafe"


def sent(everything: set[int], accepted: set[int], repeated: set[int] = frozenset()) -> Sent:  # type: ignore[assignment]
    first, second, third = (
        np.array(sorted(ids), dtype=np.uint64) for ids in (everything, accepted, repeated)
    )
    return Sent(first, second, third)


def row(number: int, seq: int = 1, **changes: object) -> RowSaid:
    fields = {
        "seq": seq,
        "key": "K",
        "key_seq": seq,
        "webhook_id": webhook_id(RUN, number),
        "outcome": "held",
    }
    return RowSaid(**{**fields, **changes})  # type: ignore[arg-type]


numbers = st.integers(0, 2**64 - 1)


@given(st.sets(numbers, max_size=30), st.data())
@settings(max_examples=100)
def test_every_difference_is_counted(everything: set[int], data: st.DataObject) -> None:
    some = st.sets(st.sampled_from(sorted(everything))) if everything else st.just(set())
    accepted, lost = data.draw(some), data.draw(some)
    strangers = data.draw(st.sets(numbers.filter(lambda number: number not in everything), max_size=5))
    doubled = data.draw(some) - lost
    audited = sorted((everything - lost) | strangers)
    rows = [row(number) for number in audited] + [row(number) for number in doubled]
    found = compare(rows, sent(everything, accepted), RUN)
    assert found.lost == len(accepted & lost)
    assert found.unsent == len(strangers)
    assert found.twice == len(doubled)
    assert found.rows == found.all_rows == len(rows)


def test_rows_of_others_are_counted_and_not_judged() -> None:
    rows = [row(1), row(2, webhook_id="somebody-else"), row(3, webhook_id=webhook_id("ffffffff", 3))]
    found = compare(rows, sent({1}, {1}), RUN)
    assert (found.rows, found.all_rows, found.unsent) == (1, 3, 0)


def test_a_fill_that_is_there_twice_is_an_execution_too_many() -> None:
    fill = FillSaid(order_seq=1, order_leg=0, strategy="s", quantity="10")
    found = compare([row(1, fills=[fill, fill])], sent({1}, {1}), RUN)
    assert found.twice == 1


def test_denials_and_outcomes_are_counted() -> None:
    rows = [row(1, legs=[LegSaid("denied"), LegSaid("ordered")]), row(2, outcome="filled")]
    found = compare(rows, sent({1, 2}, {1, 2}), RUN)
    assert found.denied == 1
    assert found.outcomes == {"held": 1, "filled": 1}


def test_a_lost_event_is_named() -> None:
    assert compare([], sent({7}, {7}), RUN).examples == (webhook_id(RUN, 7),)


def test_ledgers_of_several_processes_add_up_and_a_torn_end_is_left_out(tmp_path: Path) -> None:
    files = [tmp_path / "0.ledger", tmp_path / "1.ledger"]
    for index, file in enumerate(files):
        ledger = Ledger(file)
        for number in (index, index + 10):
            ledger.note(number, SENT)
        ledger.note(index, 202)
        ledger.note(index, SENT)
        ledger.note(index + 10, 503)
        ledger.close()
    files[1].write_bytes(files[1].read_bytes() + b"torn")
    found = read_ledgers(files)
    assert found.sent.tolist() == [0, 1, 10, 11]
    assert found.accepted.tolist() == [0, 1]
    assert found.repeated.tolist() == [0, 1]
    assert read_ledgers([]).sent.tolist() == []


@given(st.integers(0, 1023), st.integers(0, 2**22 - 1), st.integers(0, 2**32 - 1))
def test_an_id_is_read_back_as_its_number(process: int, user: int, number: int) -> None:
    whole = id_number(user_number(process, user), number)
    assert parse(webhook_id(RUN, whole), RUN) == whole < 2**64
    assert parse(webhook_id(RUN, whole), "00000000") is None
