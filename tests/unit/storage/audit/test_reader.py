"""Queries, verification and the digest of a run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from some_rows import ROWS, some_rows

from pipeline import limits
from pipeline.delivery import decode_delivery, encode_delivery
from pipeline.errors import DamagedError, MissingError
from pipeline.storage.audit import AuditReader, MemoryAuditStore, SqliteAuditStore, verify_rows
from pipeline.storage.audit.chain import link_hash
from pipeline.storage.audit.digest import run_digest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "audit.db"
    store = SqliteAuditStore.open(file)
    store.append(some_rows())
    store.close()
    return file


@pytest.fixture
def reader(path: Path) -> Iterator[AuditReader]:
    made = AuditReader.open(path)
    yield made
    made.close()


def change(path: Path, statement: str, *parameters: object) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement, parameters)
    connection.commit()
    connection.close()


# ---- queries ----------------------------------------------------------------------------------------------


def test_there_must_be_an_audit(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="there is none"):
        AuditReader.open(tmp_path / "audit.db")


def test_rows_are_filtered_and_paged(reader: AuditReader) -> None:
    assert [row.seq for row in reader.rows()] == list(range(1, ROWS + 1))
    assert {row.delivery.key for row in reader.rows(key="B")} == {"B"}
    assert {row.delivery.outcome for row in reader.rows(outcome="held")} == {"held"}
    assert [row.delivery.accepted_us for row in reader.rows(since=1027)] == [1027, 1028, 1029]
    assert [row.seq for row in reader.rows(after=10, limit=3)] == [11, 12, 13]
    assert [row.seq for row in reader.rows(newest_first=True, limit=2)] == [30, 29]
    both = reader.rows(key="A", outcome="filled", limit=2)
    assert [(row.delivery.key, row.delivery.outcome) for row in both] == [("A", "filled")] * 2


def test_an_event_is_found_by_its_id_and_by_its_webhook_id(reader: AuditReader) -> None:
    wanted = some_rows()[4]
    (by_id,) = reader.by_event_id(wanted.event_id)
    (by_webhook,) = reader.by_webhook_id("w1-4")
    assert by_id == by_webhook
    assert by_id.delivery == wanted
    assert reader.by_event_id(b"nobody") == []
    assert len(reader.by_webhook_id("w1-1")) == 1
    assert reader.by_webhook_id("w1-4", source="other") == []


def test_outcomes_and_counts_are_told(reader: AuditReader) -> None:
    outcomes = reader.outcomes()
    assert (outcomes["filled"], outcomes["held"], outcomes["expired"]) == (15, 15, 0)
    assert reader.counts() == {"rows": ROWS, "keys": 3, "events": ROWS}


# ---- verification -----------------------------------------------------------------------------------------


def test_a_good_audit_verifies_with_progress(reader: AuditReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "VERIFY_PAGE_ROWS", 8)
    told: list[tuple[int, int]] = []
    report = reader.verify(lambda done, total: told.append((done, total)))
    assert (report.ok, report.rows, report.first_bad) == (True, ROWS, None)
    assert told == [(8, 30), (16, 30), (24, 30), (30, 30)]


def test_an_empty_audit_verifies(tmp_path: Path) -> None:
    SqliteAuditStore.open(tmp_path / "audit.db").close()
    reader = AuditReader.open(tmp_path / "audit.db")
    assert (reader.verify().ok, reader.verify().rows) == (True, 0)
    reader.close()


def test_any_flipped_byte_of_a_body_names_its_row(path: Path, reader: AuditReader) -> None:
    body = reader.rows(after=11, limit=1)[0]
    good = encode_delivery(body.delivery)
    for offset in range(len(good)):
        bad = bytearray(good)
        bad[offset] ^= 0x40
        change(path, "UPDATE rows SET body = ? WHERE seq = 12", bytes(bad))
        report = reader.verify()
        assert (report.ok, report.first_bad, report.rows) == (False, 12, 11)
        assert "hash" in report.detail


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("key", "Z"),
        ("key_seq", 99),
        ("event_id", b"x"),
        ("accepted_us", 5),
        ("outcome", "placed"),
        ("stored", 1),
    ],
)
def test_a_changed_column_is_found(path: Path, reader: AuditReader, column: str, value: object) -> None:
    change(path, f"UPDATE rows SET {column} = ? WHERE seq = 7", value)
    report = reader.verify()
    assert (report.first_bad, report.detail) == (7, "row 7: its columns differ from its chained bytes")


def test_a_deleted_row_is_found(path: Path, reader: AuditReader) -> None:
    change(path, "DELETE FROM rows WHERE seq = 5")
    report = reader.verify()
    assert (report.ok, report.rows, report.first_bad) == (False, 4, 5)
    assert report.detail == "row 5 is missing; row 6 follows"


def test_rows_put_in_another_order_are_found(path: Path, reader: AuditReader) -> None:
    change(path, "UPDATE rows SET seq = -1 WHERE seq = 5")
    change(path, "UPDATE rows SET seq = 5 WHERE seq = 6")
    change(path, "UPDATE rows SET seq = 6 WHERE seq = -1")
    assert reader.verify().first_bad == 5


def test_an_inserted_row_is_found(path: Path, reader: AuditReader) -> None:
    change(
        path,
        "INSERT INTO rows SELECT 0, 'Q', key_seq, x'00', accepted_us, outcome, stored, h, body"
        " FROM rows WHERE seq = 1",
    )
    assert reader.verify().first_bad == 0


def test_a_decision_changed_with_the_chain_made_to_fit_is_found_by_the_digests(
    path: Path, reader: AuditReader
) -> None:
    """Whoever rewrites the hashes too must rewrite the digests, and then every later row of the key."""
    rows = reader.rows()
    h = rows[19].h
    for row in rows[20:]:
        delivery = row.delivery
        if row.seq == 21:
            delivery.decision = b"another"
        body = encode_delivery(delivery)
        h = link_hash(row.seq, h, body)
        change(path, "UPDATE rows SET body = ?, h = ? WHERE seq = ?", body, h, row.seq)
    report = reader.verify()
    assert report.first_bad == 21
    assert "digests are not those of its event, decision and fills" in report.detail


def test_a_body_that_cannot_be_read_is_an_error_with_its_row(path: Path, reader: AuditReader) -> None:
    change(path, "UPDATE rows SET body = x'c1' WHERE seq = 3")
    with pytest.raises(DamagedError, match="row 3 cannot be read"):
        reader.rows()


def test_a_damaged_database_page_does_not_verify_and_is_no_traceback(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for offset in range(4096, len(data), 4096):
        data[offset : offset + 200] = b"\xee" * 200
    path.write_bytes(data)
    reader = AuditReader.open(path)
    report = reader.verify()
    assert not report.ok
    reader.close()


def test_the_memory_store_verifies_with_the_same_rules() -> None:
    store = MemoryAuditStore()
    store.append(some_rows())
    assert verify_rows(store.rows).ok
    assert verify_rows([*store.rows[:7], *store.rows[8:]]).first_bad == 8


# ---- digest -----------------------------------------------------------------------------------------------


def test_ids_and_accept_times_and_the_order_between_keys_do_not_change_the_digest(tmp_path: Path) -> None:
    digests = set()
    for number, order in enumerate(("as accepted", "by key")):
        rows = some_rows(run=str(number), delay_us=number * 1000)
        if order == "by key":
            rows.sort(key=lambda row: row.key)
        store = SqliteAuditStore.open(tmp_path / f"{number}.db")
        store.append(rows)
        store.close()
        reader = AuditReader.open(tmp_path / f"{number}.db")
        digests.add(reader.run_digest())
        reader.close()
    assert len(digests) == 1


@pytest.mark.parametrize("field", ["payload", "decision", "fills"])
def test_what_was_decided_on_what_changes_the_digest(field: str) -> None:
    rows = sorted(some_rows(), key=lambda row: row.key)
    before = run_digest(rows)
    setattr(rows[5], field, b"other")
    assert run_digest(rows) != before


def test_bytes_cannot_move_between_fields_unnoticed() -> None:
    rows = some_rows()[:1]
    before = run_digest(rows)
    moved = decode_delivery(encode_delivery(rows[0]))
    moved.payload, moved.decision = moved.payload + moved.decision[:1], moved.decision[1:]
    assert run_digest([moved]) != before


def test_the_digest_is_the_same_however_it_is_paged(
    reader: AuditReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = reader.run_digest()
    monkeypatch.setattr(limits, "VERIFY_PAGE_ROWS", 7)
    assert reader.run_digest() == whole
