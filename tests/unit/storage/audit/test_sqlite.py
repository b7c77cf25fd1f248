"""What the SQLite engine adds: files, locks, versions, failures, memory that stays bounded."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from some_rows import lone_row

from pipeline import limits
from pipeline.errors import MissingError
from pipeline.storage.audit import AuditReader, SqliteAuditStore
from pipeline.storage.audit.store import AuditFullError


def test_rows_survive_and_the_chain_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    first = lone_row("K")
    store = SqliteAuditStore.open(path)
    store.append([first])
    chain = store.chain
    store.close()
    store = SqliteAuditStore.open(path)
    assert store.chain == chain
    assert store.append([first])[0].settled
    assert store.append([lone_row("K", 2, first.a, first.x)])[0].last == 2
    store.close()
    reader = AuditReader.open(path)
    assert reader.verify().ok
    assert reader.counts() == {"rows": 2, "keys": 1, "events": 2}
    reader.close()


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    """What is settled is forgotten by the gateway, so that a power cut may not take it from the audit."""
    store = SqliteAuditStore.open(tmp_path / "audit.db")
    full = 2
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (full,)
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    store = SqliteAuditStore.open(tmp_path / "audit.db")
    with pytest.raises(MissingError, match="in use by another process"):
        SqliteAuditStore.open(tmp_path / "audit.db")
    store.close()
    SqliteAuditStore.open(tmp_path / "audit.db").close()


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    SqliteAuditStore.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for opener in (SqliteAuditStore.open, AuditReader.open):
        with pytest.raises(MissingError, match="schema version 99, this program knows up to 2"):
            opener(path)


def test_another_sqlite_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (a)")
    connection.close()
    for opener in (SqliteAuditStore.open, AuditReader.open):
        with pytest.raises(MissingError, match="no audit of Ringline"):
            opener(path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    path.write_bytes(b"something else entirely" * 100)
    for opener in (SqliteAuditStore.open, AuditReader.open):
        with pytest.raises(MissingError, match=r"audit\.db"):
            opener(path)


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingError, match="cannot be created"):
        SqliteAuditStore.open(tmp_path / "file" / "audit.db")


def test_a_full_disk_commits_nothing_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    store = SqliteAuditStore.open(path)
    store.append([lone_row("A")])
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    rows = [lone_row(f"K{number}") for number in range(500)]
    with pytest.raises(AuditFullError, match="full"):
        store.append(rows)
    assert store.tail("K0").last == 0
    store._connection.execute("PRAGMA max_page_count = 1000000")
    assert all(judged.settled for judged in store.append(rows))
    store.close()
    reader = AuditReader.open(path)
    assert reader.verify().rows == 501
    reader.close()


def test_after_another_failure_the_store_refuses_further_work(tmp_path: Path) -> None:
    store = SqliteAuditStore.open(tmp_path / "audit.db")
    store._connection.execute("DROP TABLE rows")
    row = lone_row("K")
    with pytest.raises(MissingError):
        store.append([row])
    with pytest.raises(MissingError, match="opened anew"):
        store.append([row])
    store.close()


def test_the_memory_of_keys_is_bounded_and_forgotten_keys_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUDIT_TAILS", 16)
    store = SqliteAuditStore.open(tmp_path / "audit.db")
    first = [lone_row(f"K{number}") for number in range(50)]
    for row in first:
        store.append([row])
    assert len(store._heads) <= 17
    second = [lone_row(row.key, 2, row.a, row.x) for row in first]
    assert all(judged.settled for judged in store.append(second))
    store.close()


def test_many_keys_in_one_batch_beyond_the_bound_still_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head pushed out of memory in the middle of a batch must not be read back without the batch's rows."""
    monkeypatch.setattr(limits, "AUDIT_TAILS", 8)
    store = SqliteAuditStore.open(tmp_path / "audit.db")
    first = [lone_row(f"K{number}") for number in range(30)]
    second = [lone_row(row.key, 2, row.a, row.x) for row in first]
    judged = store.append([*first, *second])
    assert [j.settled for j in judged] == [True] * 60
    store.close()


def test_a_tail_never_shows_what_is_not_committed(tmp_path: Path) -> None:
    store = SqliteAuditStore.open(tmp_path / "audit.db")
    first = lone_row("K")
    store.append([first])
    store._connection.execute("BEGIN IMMEDIATE")
    store._connection.execute("UPDATE rows SET key_seq = 2")
    assert store.tail("K").last == 1
    store._connection.execute("ROLLBACK")
    store.close()


def test_a_reader_reads_while_the_writer_writes(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    store = SqliteAuditStore.open(path)
    store.append([lone_row("A")])
    reader = AuditReader.open(path)
    assert reader.counts()["rows"] == 1
    store.append([lone_row("B")])
    assert reader.counts()["rows"] == 2
    assert reader.verify().ok
    reader.close()
    store.close()
