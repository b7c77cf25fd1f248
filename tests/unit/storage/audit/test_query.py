"""Queries against a plain loop over all rows, on both engines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from some_rows import OUTCOMES, some_rows

from pipeline import limits
from pipeline.storage.audit.postgres import PostgresAuditStore
from pipeline.storage.audit.postgres_database import PostgresAuditReader
from pipeline.storage.audit.query import FIRST, Filter, Query
from pipeline.storage.audit.reader import AuditReader
from pipeline.storage.audit.rows import AuditRow
from pipeline.storage.audit.sqlite import SqliteAuditStore

CONTROLS = frozenset({1, 2, 9})
FILTERS = [
    Filter(),
    Filter(keys=("A",)),
    Filter(keys=("A", "C")),
    Filter(outcomes=(OUTCOMES[0],)),
    Filter(keys=("B",), outcomes=OUTCOMES[:1], after=4),
    Filter(outcomes=("control",)),
    Filter(outcomes=(OUTCOMES[0], "control"), keys=("A", "B")),
    Filter(since_us=1010, until_us=1020),
    Filter(webhook_id="w1-7"),
    Filter(webhook_id="w1-"),
    Filter(source="s"),
    Filter(source="nobody"),
    Filter(keys=("NONE",)),
    Filter(after=29),
]


@pytest.fixture(params=["sqlite", "postgres"])
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AuditReader]:
    if request.param == "sqlite":
        store = SqliteAuditStore.open(tmp_path / "audit.sqlite", 4)
        store.append(some_rows(controls=CONTROLS))
        found = AuditReader.open(tmp_path / "audit.sqlite")
        with contextlib.closing(store), contextlib.closing(found):
            yield found
        return
    dsn: str = request.getfixturevalue("postgres_dsn")
    new_schema: Callable[[], str] = request.getfixturevalue("new_schema")
    schema = new_schema()
    with contextlib.closing(PostgresAuditStore.open(dsn, schema, 4)) as shared:
        shared.append(some_rows(controls=CONTROLS))
        with contextlib.closing(PostgresAuditReader.connect(dsn, schema)) as found:
            yield found


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 3, 100])
def test_paging_through_finds_every_row_that_passes_once_and_in_order(
    reader: AuditReader, newest_first: bool, limit: int
) -> None:
    everything = reader.rows(limit=1000)
    with patch.object(limits, "SCAN_WINDOW_ROWS", 4), patch.object(limits, "MAX_SCAN_ROWS", 8):
        for wanted in FILTERS:
            expected = [row.seq for row in everything if wanted.passes(row)]
            query = Query(wanted, newest_first=newest_first)
            assert all_of(reader, query, limit) == (expected[::-1] if newest_first else expected), wanted


def all_of(reader: AuditReader, query: Query, limit: int) -> list[int]:
    found: list[AuditRow] = []
    place = FIRST
    for _ in range(200):
        page = reader.find(query, place, limit)
        assert len(page.rows) <= limit
        found += page.rows
        place = page.place
        if not page.more:
            return [row.seq for row in found]
    raise AssertionError("it never ends")


def test_rows_that_come_while_somebody_pages_are_not_stepped_over(tmp_path: Path) -> None:
    rows = some_rows()
    with contextlib.closing(SqliteAuditStore.open(tmp_path / "audit.sqlite", 4)) as store:
        store.append(rows[:10])
        with contextlib.closing(AuditReader.open(tmp_path / "audit.sqlite")) as reader:
            query = Query(Filter(outcomes=(OUTCOMES[1],)))
            first = reader.find(query, FIRST, 100)
            store.append(rows[10:])
            second = reader.find(query, first.place, 100)
    found = [row.seq for row in (*first.rows, *second.rows)]
    assert found == [seq for seq in range(1, 31) if rows[seq - 1].outcome == OUTCOMES[1]]


def test_an_event_is_found_by_its_index(reader: AuditReader) -> None:
    event_id = some_rows()[5].event_id
    assert [row.seq for row in reader.find(Query(Filter(event_id=event_id)), FIRST, 10).rows] == [6]
    nothing = reader.find(Query(Filter(event_id=event_id, keys=("A",))), FIRST, 10)
    assert (nothing.rows, nothing.more) == ([], False)


def test_what_was_counted_before_is_not_counted_again(reader: AuditReader) -> None:
    whole = reader.outcomes_between(0, 30)
    parts = [reader.outcomes_between(0, 11), reader.outcomes_between(11, 30)]
    assert {name: sum(part.get(name, 0) for part in parts) for name in whole} == whole


def test_controls_are_found_whatever_became_of_them(reader: AuditReader) -> None:
    wanted = Filter(outcomes=("control", OUTCOMES[1]))
    assert set(all_of(reader, Query(wanted), 100)) == {
        1 + number for number in range(30) if number % 2 or number in CONTROLS
    }
    assert all_of(reader, Query(Filter(outcomes=("control",))), 100) == [
        1 + number for number in sorted(CONTROLS)
    ]
