"""The embedded audit store: one SQLite file, one writer, WAL with a full sync a commit."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from pipeline import limits
from pipeline.delivery import Delivery, Tail, decode_delivery
from pipeline.errors import MissingError
from pipeline.storage.audit.chain import START, Link
from pipeline.storage.audit.judging import Recorded, judge
from pipeline.storage.audit.rows import COLUMNS, StoredRow, tail_of
from pipeline.storage.audit.schema import migrate
from pipeline.storage.audit.store import NO_ROWS, AuditFullError, Head, Judged, head_of
from pipeline.storage.lock import lock_file

_INSERT = f"INSERT INTO rows ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_LAST_ROW = "SELECT body FROM rows WHERE key = ? ORDER BY key_seq DESC LIMIT 1"
_LAST = "SELECT max(key_seq) FROM rows WHERE key = ?"
_SINCE = """SELECT body FROM rows WHERE key = ? AND key_seq >=
    coalesce((SELECT max(key_seq) FROM rows WHERE key = ? AND stored), 0) ORDER BY key_seq"""
_HEAD = "SELECT seq, h FROM rows ORDER BY seq DESC LIMIT 1"
_BY_EVENT = "SELECT 1 FROM rows WHERE event_id = ? AND key = ?"


class SqliteAuditStore:
    """An `AuditStore`. `append` may run in one thread while `tail` runs in another: each has a connection
    of its own, so a tail never shows what is not committed."""

    def __init__(self, connection: sqlite3.Connection, lock: int, path: Path, state_every: int) -> None:
        self._connection = connection
        self._reading = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._reading.execute("PRAGMA query_only = ON")
        self._lock = lock
        self._path = path
        self._state_every = state_every
        self._heads: dict[str, Head] = {}
        self._broken = False
        last = connection.execute(_HEAD).fetchone()
        self._chain = Link(*last) if last else START

    @classmethod
    def open(cls, path: Path, state_every: int = limits.STATE_EVERY_ROWS) -> SqliteAuditStore:
        """Open or create the audit in `path` and hold its lock.

        Raises MissingError when it is locked, cannot be opened, is no audit or a newer version's.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MissingError(f"audit {path}: cannot be created: {error.strerror}") from None
        lock = lock_file(path.with_name(path.name + ".lock"), "audit")
        try:
            connection = _connect(path)
            return cls(connection, lock, path, state_every)
        except sqlite3.Error as error:
            os.close(lock)
            raise MissingError(f"audit {path}: cannot be opened: {error}") from None
        except BaseException:
            os.close(lock)
            raise

    @property
    def chain(self) -> Link:
        """The end of the hash chain."""
        return self._chain

    def append(self, batch: Sequence[Delivery]) -> list[Judged]:
        """See `AuditStore.append`."""
        if self._broken:
            raise MissingError(f"audit {self._path}: failed before; it has to be opened anew")
        if len(self._heads) > limits.AUDIT_TAILS:
            self._forget_some()
        try:
            return self._append(batch, None)
        except sqlite3.IntegrityError:
            self._abandon(batch)
        except sqlite3.Error as error:
            self._fail(batch, error)
        try:
            return self._append(batch, self._recorded_events(batch))
        except sqlite3.Error as error:
            self._fail(batch, error)
            raise

    def tail(self, key: str) -> Tail:
        """See `AuditStore.tail`."""
        try:
            bodies = self._reading.execute(_SINCE, (key, key)).fetchall()
        except sqlite3.Error as error:
            raise MissingError(f"audit {self._path}: {error}") from None
        return tail_of(key, [decode_delivery(body) for (body,) in bodies])

    def lasts(self, keys: Sequence[str]) -> list[int]:
        """See `AuditStore.lasts`."""
        try:
            return [self._reading.execute(_LAST, (key,)).fetchone()[0] or 0 for key in keys]
        except sqlite3.Error as error:
            raise MissingError(f"audit {self._path}: {error}") from None

    def close(self) -> None:
        self._reading.close()
        self._connection.close()
        os.close(self._lock)

    def _append(self, batch: Sequence[Delivery], recorded: Recorded | None) -> list[Judged]:
        verdict = judge(batch, self._heads, self._load_head, self._chain, self._state_every, recorded)
        if verdict.rows:
            self._commit(verdict.rows)
            self._chain = verdict.chain
        return verdict.answers

    def _commit(self, values: list[StoredRow]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT, values)
        connection.execute("COMMIT")

    def _forget_some(self) -> None:
        """Between batches only: what a batch appended is not in the database before it commits."""
        surplus = len(self._heads) - limits.AUDIT_TAILS + limits.AUDIT_TAILS // 8
        for key in list(self._heads)[:surplus]:
            del self._heads[key]

    def _load_head(self, key: str) -> Head:
        row = self._connection.execute(_LAST_ROW, (key,)).fetchone()
        head = self._heads[key] = head_of(decode_delivery(row[0])) if row else NO_ROWS
        return head

    def _recorded_events(self, batch: Sequence[Delivery]) -> Recorded:
        found: Recorded = set()
        for delivery in batch:
            if self._connection.execute(_BY_EVENT, (delivery.event_id, delivery.key)).fetchone():
                found.add((delivery.event_id, delivery.key))
        return found

    def _abandon(self, batch: Sequence[Delivery]) -> None:
        """Nothing of the batch was committed: forget what it made of the heads."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        for delivery in batch:
            self._heads.pop(delivery.key, None)

    def _fail(self, batch: Sequence[Delivery], error: sqlite3.Error) -> None:
        full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
        self._broken = not full
        self._abandon(batch)
        kind = AuditFullError if full else MissingError
        raise kind(f"audit {self._path}: cannot commit: {error}") from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection, str(path))
    except BaseException:
        connection.close()
        raise
    return connection
