"""One suite for every audit store: whatever the engine, the judge's rules are the same."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers import empty_audit
from some_rows import some_rows

from pipeline.delivery import ORIGIN, Delivery, Tail, agent_digest, exec_digest
from pipeline.storage.audit import AuditStore, Judged, MemoryAuditStore, SqliteAuditStore
from pipeline.storage.audit.postgres import PostgresAuditStore

STATE_EVERY = 4
Opener = Callable[[], AuditStore]


class Pipeline:
    """Decides events as agent and exec would, so that rows fit."""

    def __init__(self) -> None:
        self.digests: dict[str, tuple[int, bytes, bytes]] = {}

    def next(self, key: str = "K", *, decision: bytes = b"decision", event_id: bytes = b"") -> Delivery:
        last, a_prev, x_prev = self.digests.get(key, (0, ORIGIN, ORIGIN))
        key_seq = last + 1
        payload, fills = f"payload {key_seq}".encode(), b"fills"
        a = agent_digest(a_prev, key_seq, 0, payload, decision)
        x = exec_digest(x_prev, key_seq, a, fills)
        self.digests[key] = (key_seq, a, x)
        stored = key_seq % STATE_EVERY == 0
        return Delivery(
            key=key,
            key_seq=key_seq,
            event_id=event_id or f"{key}-{key_seq}".encode().ljust(16, b"\0"),
            source="demo",
            webhook_id=f"w-{key}-{key_seq}",
            accepted_us=1_700_000_000_000_000 + key_seq,
            fate=0,
            payload=payload,
            code="v1",
            decision=decision,
            a_prev=a_prev,
            a=a,
            agent_state=b"agent state" if stored else b"",
            fills=fills,
            x_prev=x_prev,
            x=x,
            exec_state=b"exec state" if stored else b"",
            outcome="filled",
        )

    def several(self, count: int, key: str = "K") -> list[Delivery]:
        return [self.next(key) for _ in range(count)]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    numbers = itertools.count()
    schemas: list[str] = []

    def memory() -> AuditStore:
        return MemoryAuditStore(STATE_EVERY)

    def sqlite() -> AuditStore:
        return SqliteAuditStore.open(tmp_path / f"{next(numbers)}.db", STATE_EVERY)

    def postgres() -> AuditStore:
        """One schema a test, emptied each time: making one takes 50 ms."""
        dsn, new_schema = request.getfixturevalue("postgres_dsn"), request.getfixturevalue("new_schema")
        if not schemas:
            schemas.append(new_schema())
            return PostgresAuditStore.open(dsn, schemas[0], STATE_EVERY)
        empty_audit(dsn, schemas[0])
        return PostgresAuditStore.open(dsn, schemas[0], STATE_EVERY)

    return {"memory": memory, "sqlite": sqlite, "postgres": postgres}[request.param]


@pytest.fixture
def store(opener: Opener) -> Iterator[AuditStore]:
    made = opener()
    yield made
    made.close()


def test_a_keys_first_row_builds_on_the_origin(store: AuditStore) -> None:
    row = Pipeline().next()
    assert store.append([row]) == [Judged(True, 1, row.event_id, appended=True)]


def test_rows_of_one_key_chain_inside_a_batch(store: AuditStore) -> None:
    rows = Pipeline().several(5)
    judged = store.append(rows)
    assert [(j.settled, j.last) for j in judged] == [(True, n) for n in range(1, 6)]


def test_a_row_that_is_there_already_is_settled_with_the_last_one_named(store: AuditStore) -> None:
    rows = Pipeline().several(3)
    store.append(rows)
    assert store.append([rows[0]]) == [Judged(True, 3, rows[2].event_id)]
    assert store.tail("K").last == 3


def test_a_repeat_inside_a_batch_is_settled_once(store: AuditStore) -> None:
    row = Pipeline().next()
    first, repeat = store.append([row, row])
    assert first == Judged(True, 1, row.event_id, appended=True)
    assert repeat == Judged(True, 1, row.event_id)
    assert len(store.tail("K").rows) == 1


def test_the_first_committed_decision_wins(store: AuditStore) -> None:
    first, second = Pipeline().next(decision=b"buy"), Pipeline().next(decision=b"sell")
    judged = store.append([first, second])
    assert all(j.settled for j in judged)
    assert [row.decision for row in store.tail("K").rows] == [b"buy"]


def test_a_gap_is_refused(store: AuditStore) -> None:
    rows = Pipeline().several(3)
    judged = store.append([rows[0], rows[2]])
    assert judged == [
        Judged(True, 1, rows[0].event_id, appended=True),
        Judged(False, 1, rows[0].event_id),
    ]


def test_a_key_without_rows_is_refused_with_nothing_named(store: AuditStore) -> None:
    rows = Pipeline().several(2)
    assert store.append([rows[1]]) == [Judged(False, 0, b"")]
    assert store.tail("K") == Tail("K", 0)


@pytest.mark.parametrize("field", ["a_prev", "x_prev"])
def test_a_row_on_another_digest_than_the_recorded_one_is_refused(store: AuditStore, field: str) -> None:
    rows = Pipeline().several(2)
    store.append(rows[:1])
    setattr(rows[1], field, b"\1" * 32)
    assert not store.append([rows[1]])[0].settled
    assert store.tail("K").last == 1


def test_after_a_refused_row_the_rest_of_the_batch_is_judged_for_itself(store: AuditStore) -> None:
    pipeline, other = Pipeline(), Pipeline()
    rows = pipeline.several(3)
    stale = other.next(decision=b"other")
    stale_next = other.next(decision=b"other")
    judged = store.append([rows[0], stale, stale_next, rows[1], rows[2], pipeline.next("L")])
    assert [(j.settled, j.last) for j in judged] == [
        (True, 1),
        (True, 1),
        (False, 1),
        (True, 2),
        (True, 3),
        (True, 1),
    ]


def test_an_event_never_gets_a_second_row_of_its_key(store: AuditStore) -> None:
    pipeline = Pipeline()
    first = pipeline.next(event_id=b"the same event..")
    before = pipeline.digests["K"]
    again = pipeline.next(event_id=b"the same event..")
    assert [j.settled for j in store.append([first, again])] == [True, False]
    assert [j.settled for j in store.append([again])] == [False]
    pipeline.digests["K"] = before
    good, other = pipeline.next(), pipeline.next("L")
    assert [j.settled for j in store.append([again, good, other])] == [False, True, True]
    assert (store.tail("K").last, store.tail("L").last) == (2, 1)


def test_a_control_event_has_a_row_for_each_key(store: AuditStore) -> None:
    pipeline = Pipeline()
    rows = [pipeline.next(key, event_id=b"one control.....") for key in "ABC"]
    assert all(j.settled for j in store.append(rows))


def test_a_tail_has_the_last_stored_states_and_the_rows_since(store: AuditStore) -> None:
    rows = Pipeline().several(10)
    for count, row in enumerate(rows, 1):
        store.append([row])
        tail = store.tail("K")
        stored = count - count % STATE_EVERY
        assert (tail.key, tail.last, tail.a, tail.x) == ("K", count, row.a, row.x)
        assert tail.stored_seq == stored
        assert tail.agent_state == (b"agent state" if stored else b"")
        assert tail.exec_state == (b"exec state" if stored else b"")
        assert list(tail.rows) == rows[stored:count]


def test_states_on_other_rows_are_not_kept(store: AuditStore) -> None:
    row = Pipeline().next()
    row.agent_state = row.exec_state = b"surplus"
    store.append([row])
    tail = store.tail("K")
    assert (tail.stored_seq, tail.rows[0].agent_state, tail.rows[0].exec_state) == (0, b"", b"")
    assert row.agent_state == b"surplus"


def test_an_empty_batch_is_fine(store: AuditStore) -> None:
    assert store.append([]) == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_arrives_each_key_is_one_unbroken_line_of_first_decisions(
    opener: Opener, data: st.DataObject
) -> None:
    """Two owners of each key decide differently; their rows arrive repeated, late and mixed."""
    owners = [Pipeline(), Pipeline()]
    made = [
        owner.next(key, decision=b"owner %d" % number)
        for key in "AB"
        for number, owner in enumerate(owners)
        for _ in range(4)
    ]
    with contextlib.closing(opener()) as store:
        committed: dict[str, list[Delivery]] = {"A": [], "B": []}
        for _ in range(data.draw(st.integers(1, 6))):
            batch = data.draw(st.lists(st.sampled_from(made), max_size=12))
            for row, judged in zip(batch, store.append(batch), strict=True):
                line = committed[row.key]
                last = line[-1] if line else None
                next_one = row.key_seq == len(line) + 1 and row.a_prev == (last.a if last else ORIGIN)
                if next_one:
                    line.append(row)
                assert judged.settled == (next_one or row.key_seq <= len(line))
                assert judged.last == len(line)
                assert judged.event_id == (line[-1].event_id if line else b"")
        for key, line in committed.items():
            tail = store.tail(key)
            assert [tail.last, tail.a, tail.x] == (
                [len(line), line[-1].a, line[-1].x] if line else [0, ORIGIN, ORIGIN]
            )
            assert list(tail.rows) == line[tail.stored_seq :]


def test_the_last_of_each_key_is_known_and_that_of_a_strange_one_is_none(store: AuditStore) -> None:
    store.append(some_rows())
    assert store.lasts(["A", "NONE", "B"]) == [10, 0, 10]
    assert store.lasts([]) == []
