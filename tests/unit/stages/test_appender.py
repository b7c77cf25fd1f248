from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from steps_bench import KEY, StepsBench, deliveries

from pipeline.clock import FakeClock
from pipeline.delivery import Delivery
from pipeline.messages import Outcome, decode_decision, decode_fills
from pipeline.stages.appender import Appender
from pipeline.storage.audit import MemoryAuditStore
from pipeline.storage.audit.store import AuditFullError, Judged
from pipeline.telemetry.events import EventID
from pipeline.telemetry.layout import Kind
from pipeline.telemetry.recorder import ListRecorder
from pipeline.trading.outcome import outcome

DEAD = frozenset({2, 5})
NS = 5_000


class Notes:
    """A hand that remembers what was noted; None is a clear."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, int] | None] = []

    def note(self, key: str, key_seq: int) -> None:
        self.noted.append((key, key_seq))

    def clear(self) -> None:
        self.noted.append(None)


class SlowStore(MemoryAuditStore):
    """Takes NS, and sees what the hand holds meanwhile."""

    def __init__(self, clock: FakeClock, hand: Notes) -> None:
        super().__init__()
        self._clock = clock
        self._hand = hand
        self.in_hand: list[tuple[str, int] | None] = []
        self.full = False

    def append(self, batch: Sequence[Delivery]) -> list[Judged]:
        if self.full:
            raise AuditFullError("audit: cannot commit: database or disk is full")
        self.in_hand.append(self._hand.noted[-1])
        self._clock.advance(ns=NS)
        return super().append(batch)


class Bench:
    def __init__(self) -> None:
        clock = FakeClock()
        self.hand = Notes()
        self.store = SlowStore(clock, self.hand)
        self.recorder = ListRecorder(clock.monotonic_ns)
        self.appender = Appender(self.store, self.hand, self.recorder, clock.monotonic_ns)

    def written(self) -> list[tuple[Kind, int, int, int]]:
        entries = [(e.kind, e.event_id, e.value, e.correlation) for e in self.recorder.written]
        self.recorder.written.clear()
        return entries


def complete(count: int, directory: Path) -> list[Delivery]:
    """What exec hands to the audit."""
    steps = StepsBench(1000, directory)
    agent, executed = steps.agent.origin(KEY), steps.exec.origin(KEY)
    out = []
    for delivery in deliveries(count, DEAD):
        agent, executed = steps.agent.step(agent, delivery), steps.exec.step(executed, delivery)
        out.append(delivery)
    return out


def entries_of(delivery: Delivery) -> list[tuple[Kind, int, int, int]]:
    index = list(Outcome).index(Outcome(delivery.outcome))
    return [
        (Kind.DURATION, EventID.AUDIT_WRITE, NS, delivery.key_seq),
        (Kind.COUNT, EventID.OUTCOME, 1, index),
    ]


def test_every_row_gets_its_outcome(tmp_path: Path) -> None:
    bench, rows = Bench(), complete(40, tmp_path)
    bench.appender.append(rows)
    for row in rows:
        expected = Outcome.EXPIRED
        if row.live:
            expected = outcome(row.fate, decode_decision(row.decision), decode_fills(row.fills))
        assert row.outcome == expected
    assert {Outcome.FILLED, Outcome.PLACED, Outcome.HELD, Outcome.EXPIRED} <= {row.outcome for row in rows}
    assert [stored.outcome for stored in bench.store.tail(KEY).rows] == [row.outcome for row in rows]


def test_each_row_is_noted_and_none_is_in_hand_while_the_store_works(tmp_path: Path) -> None:
    bench = Bench()
    bench.appender.append(complete(3, tmp_path))
    assert bench.hand.noted == [(KEY, 1), (KEY, 2), (KEY, 3), None]
    assert bench.store.in_hand == [None], "a failing store is no row's fault"


def test_a_row_that_cannot_be_read_is_refused_alone(tmp_path: Path) -> None:
    bench, rows = Bench(), complete(3, tmp_path)
    rows[2].decision = b"\xc1"
    judged = bench.appender.append(rows)
    assert [(word.settled, word.unreadable) for word in judged] == [
        (True, False),
        (True, False),
        (False, True),
    ]
    assert (KEY, 3) in bench.hand.noted
    assert len(bench.store.rows) == 2


def test_each_appended_row_is_measured_once(tmp_path: Path) -> None:
    bench, rows = Bench(), complete(4, tmp_path)
    bench.appender.append(rows)
    assert bench.written() == [entry for row in rows for entry in entries_of(row)]


def test_what_is_settled_already_or_refused_is_not_measured_again(tmp_path: Path) -> None:
    bench, rows = Bench(), complete(5, tmp_path)
    bench.appender.append(rows[:2])
    bench.written()
    judged = bench.appender.append([rows[0], rows[1], rows[4], rows[2], rows[2]])
    assert [(word.settled, word.appended) for word in judged] == [
        (True, False),
        (True, False),
        (False, False),
        (True, True),
        (True, False),
    ]
    assert bench.written() == entries_of(rows[2])


def test_rows_that_are_no_longer_new_are_answered_with_the_stores_last(tmp_path: Path) -> None:
    bench, rows = Bench(), complete(3, tmp_path)
    bench.appender.append(rows)
    (word,) = bench.appender.append(rows[:1])
    assert (word.settled, word.last, word.event_id) == (True, 3, rows[2].event_id)


def test_on_a_full_disk_rows_are_refused_and_taken_when_there_is_space(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench, rows = Bench(), complete(3, tmp_path)
    bench.store.full = True
    for _ in range(2):
        judged = bench.appender.append(rows)
        assert [(word.settled, word.unreadable) for word in judged] == [(False, False)] * 3
    assert bench.written() == []
    assert [record.levelname for record in caplog.records] == ["ERROR"], "said once"
    bench.store.full = False
    assert all(word.settled for word in bench.appender.append(rows))
    assert caplog.records[-1].message == "there is space again: rows are written"
