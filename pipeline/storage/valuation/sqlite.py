"""The embedded engine: one SQLite file, WAL with a full sync a commit."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.errors import MissingError
from pipeline.storage.lock import lock_file
from pipeline.storage.valuation.store import (
    ChangedMeanwhileError,
    NavRow,
    Snapshot,
    StoreAwayError,
    StoredDomain,
)

_VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS domains (name TEXT PRIMARY KEY, version INTEGER NOT NULL, body BLOB NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS nav (domain TEXT NOT NULL, at_us INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (domain, at_us)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS head (one INTEGER PRIMARY KEY CHECK (one = 1), at_us INTEGER NOT NULL,
    body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS symbols (symbol TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
"""


class SqliteValuationStore:
    """A `ValuationStore`."""

    def __init__(self, connection: sqlite3.Connection, lock: int, path: Path) -> None:
        self._connection = connection
        self._lock = lock
        self._path = path

    @classmethod
    def open(cls, path: Path) -> SqliteValuationStore:
        """Opens or creates the file and holds its lock. Raises MissingError."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MissingError(f"valuation {path}: cannot be created: {error.strerror}") from None
        lock = lock_file(path.with_name(path.name + ".lock"), "valuation")
        try:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                _migrate(connection, path)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            os.close(lock)
            raise MissingError(f"valuation {path}: cannot be opened: {error}") from None
        except BaseException:
            os.close(lock)
            raise
        return cls(connection, lock, path)

    def domains(self) -> dict[str, StoredDomain]:
        with self._guarded():
            rows = self._connection.execute("SELECT name, version, body FROM domains").fetchall()
        return {name: StoredDomain(version, body) for name, version, body in rows}

    def put_domain(self, name: str, version: int, body: bytes) -> None:
        with self._transaction():
            self._expect(name, version - 1)
            self._connection.execute("REPLACE INTO domains VALUES (?, ?, ?)", (name, version, body))

    def delete_domain(self, name: str, version: int) -> None:
        with self._transaction():
            self._expect(name, version)
            self._connection.execute("DELETE FROM domains WHERE name = ?", (name,))
            self._connection.execute("DELETE FROM nav WHERE domain = ?", (name,))

    def append_nav(self, rows: Sequence[NavRow], keep_since_us: int) -> None:
        with self._transaction():
            self._connection.executemany("REPLACE INTO nav VALUES (?, ?, ?)", rows)
            self._connection.executemany(
                "DELETE FROM nav WHERE domain = ? AND at_us < ?",
                [(name, keep_since_us) for name in {row.domain for row in rows}],
            )

    def nav(self, domain: str, since_us: int, until_us: int, limit: int) -> list[NavRow]:
        query = "SELECT domain, at_us, body FROM nav WHERE domain = ? AND at_us >= ? AND at_us < ?"
        with self._guarded():
            rows = self._connection.execute(
                query + " ORDER BY at_us LIMIT ?", (domain, since_us, until_us, limit)
            ).fetchall()
        return [NavRow(*row) for row in rows]

    def put_snapshot(self, at_us: int, head: bytes, symbols: Mapping[str, bytes], *, clear: bool) -> None:
        with self._transaction():
            if clear:
                self._connection.execute("DELETE FROM symbols")
            self._connection.executemany("REPLACE INTO symbols VALUES (?, ?)", symbols.items())
            self._connection.execute("REPLACE INTO head VALUES (1, ?, ?)", (at_us, head))

    def snapshot(self) -> Snapshot | None:
        with self._guarded():
            head = self._connection.execute("SELECT at_us, body FROM head").fetchone()
            symbols = dict(self._connection.execute("SELECT symbol, body FROM symbols").fetchall())
        return Snapshot(head[0], head[1], symbols) if head else None

    def give_up(self) -> None:
        self._connection.interrupt()

    def close(self) -> None:
        self._connection.close()
        os.close(self._lock)

    def _expect(self, name: str, version: int) -> None:
        row = self._connection.execute("SELECT version FROM domains WHERE name = ?", (name,)).fetchone()
        if (row[0] if row else 0) != version:
            raise ChangedMeanwhileError(f"domain {name}: was changed by somebody else meanwhile")

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreAwayError(f"valuation {self._path}: {error}") from None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._guarded():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        raise MissingError(f"valuation {path}: was written by a newer version ({version} > {_VERSION})")
    connection.executescript(_TABLES)
    connection.execute(f"PRAGMA user_version = {_VERSION}")
