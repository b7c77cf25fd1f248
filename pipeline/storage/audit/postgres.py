"""The audit store in PostgreSQL: any number of workers, one chain.

Whoever appends locks the one row of `head` first, so that batches of several workers follow each other; the
row carries the end of the chain. A batch goes by COPY into `rows`; where one of its events has a row already,
all of it goes once more by way of a temporary table, that one left out: one transaction, committed or not
there at all. When the connection is lost
the batch is judged again on a new one: what was committed after all answers settled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Self, TypeVar

import psycopg
from psycopg import Connection

from pipeline import limits
from pipeline.clock import NS_PER_S, Clock, SystemClock
from pipeline.delivery import Delivery, Tail, decode_delivery
from pipeline.storage.audit.chain import START, Link
from pipeline.storage.audit.judging import Recorded, Verdict, judge
from pipeline.storage.audit.postgres_connection import Target, passes
from pipeline.storage.audit.postgres_schema import migrate
from pipeline.storage.audit.rows import COLUMNS, StoredRow, tail_of
from pipeline.storage.audit.store import NO_ROWS, Head, Judged, head_of

T = TypeVar("T")

_TYPES = ("int8", "text", "int8", "bytea", "int8", "text", "int4", "bytea", "bytea")
"""Of COLUMNS, for a binary COPY."""
_INCOMING = "CREATE TEMPORARY TABLE incoming (LIKE rows INCLUDING STORAGE) ON COMMIT DELETE ROWS"
_LOCK = "SELECT seq, h FROM head FOR UPDATE"
_COPY = f"COPY incoming ({COLUMNS}) FROM STDIN (FORMAT BINARY)"
_COPY_AT_ONCE = f"COPY rows ({COLUMNS}) FROM STDIN (FORMAT BINARY)"
_TAKE = f"INSERT INTO rows ({COLUMNS}) SELECT {COLUMNS} FROM incoming ON CONFLICT DO NOTHING"  # noqa: S608
_MOVE = "UPDATE head SET seq = %s, h = %s"
_RECORDED = "SELECT event_id, key FROM incoming JOIN rows USING (event_id, key)"
_FOREIGN = "SELECT DISTINCT key FROM rows WHERE seq > %s"
_LAST_ROWS = """SELECT last.body FROM unnest(%s::text[]) AS wanted (key) CROSS JOIN LATERAL (
    SELECT body FROM rows WHERE rows.key = wanted.key ORDER BY key_seq DESC LIMIT 1) AS last"""
_LASTS = """SELECT wanted.key, last.key_seq FROM unnest(%s::text[]) AS wanted (key) CROSS JOIN LATERAL (
    SELECT key_seq FROM rows WHERE rows.key = wanted.key ORDER BY key_seq DESC LIMIT 1) AS last"""
_SINCE = """SELECT body FROM rows WHERE key = %s AND key_seq >=
    coalesce((SELECT max(key_seq) FROM rows WHERE key = %s AND stored = 1), 0) ORDER BY key_seq"""


class PostgresAuditStore:
    """An `AuditStore`. `append` may run in one thread while `tail` runs in another: each has a connection of
    its own. A server that is away is waited for up to `limits.POSTGRES_RETRY_S`."""

    def __init__(
        self,
        target: Target,
        state_every: int,
        clock: Clock | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`pause` waits for so many seconds. Prefer `open`."""
        self._target = target
        self._state_every = state_every
        self._clock = clock or SystemClock()
        self._pause = pause
        self._writing: Connection[Any] | None = None
        self._reading: Connection[Any] | None = None
        self._heads: dict[str, Head] = {}
        self._chain = START

    @classmethod
    def open(cls, dsn: str, schema: str = "ringline", state_every: int = limits.STATE_EVERY_ROWS) -> Self:
        """Open or create the audit in `schema` of the database that `dsn` names.

        Raises MissingError when the server is away, or the schema no audit or a newer version's.
        """
        target = Target(dsn, schema)
        store = cls(target, state_every)
        try:
            with target.connect() as connection:
                migrate(connection, schema)
                target.warn_of_unsafe_settings(connection)
            store._chain = store.chain
        except psycopg.Error as error:
            store.close()
            raise target.failed("cannot be opened", error) from None
        except BaseException:
            store.close()
            raise
        return store

    @property
    def chain(self) -> Link:
        """The end of the hash chain as committed, whoever's rows these are. Raises MissingError."""
        return self._insistently("cannot be read", self._read_chain)

    def append(self, batch: Sequence[Delivery]) -> list[Judged]:
        """See `AuditStore.append`."""
        if len(self._heads) > limits.AUDIT_TAILS:
            self._heads.clear()
        return self._insistently("cannot commit", lambda: self._append(batch))

    def tail(self, key: str) -> Tail:
        """See `AuditStore.tail`."""
        return self._insistently("cannot be read", lambda: self._read_tail(key))

    def lasts(self, keys: Sequence[str]) -> list[int]:
        """See `AuditStore.lasts`."""
        return self._insistently("cannot be read", lambda: self._read_lasts(keys))

    def close(self) -> None:
        self._disconnect()

    def _append(self, batch: Sequence[Delivery]) -> list[Judged]:
        if self._writing is None:
            self._writing = self._target.connect()
            self._writing.execute(_INCOMING)
        connection = self._writing
        try:
            with connection.transaction(), connection.cursor() as cursor:
                chain = self._lock(cursor)
                self._load_heads(cursor, {delivery.key for delivery in batch})
                verdict = self._judge(batch, chain, None)
                if verdict.rows and not self._take_at_once(connection, cursor, verdict.rows):
                    verdict = self._without_recorded(cursor, batch, chain)
                if verdict.rows:
                    cursor.execute(_MOVE, verdict.chain)
        except BaseException:
            # Nothing of the batch was committed, or nobody knows.
            self._heads.clear()
            raise
        self._chain = verdict.chain
        return verdict.answers

    def _lock(self, cursor: psycopg.Cursor[Any]) -> Link:
        """The end of the chain, which stays ours until the transaction ends; others' rows since are noted."""
        found = cursor.execute(_LOCK).fetchone()
        if found is None:
            raise self._target.failed("cannot commit", LookupError("the table head is empty"))
        chain = Link(*found)
        if chain != self._chain:
            if not self._chain.seq <= chain.seq <= self._chain.seq + limits.AUDIT_TAILS:
                self._heads.clear()
            for (key,) in cursor.execute(_FOREIGN, (self._chain.seq,)).fetchall() if self._heads else ():
                self._heads.pop(key, None)
            self._chain = chain
        return chain

    def _load_heads(self, cursor: psycopg.Cursor[Any], keys: set[str]) -> None:
        missing = list(keys - self._heads.keys())
        if not missing:
            return
        for (body,) in cursor.execute(_LAST_ROWS, (missing,)).fetchall():
            last = decode_delivery(body)
            self._heads[last.key] = head_of(last)

    def _judge(self, batch: Sequence[Delivery], chain: Link, recorded: Recorded | None) -> Verdict:
        return judge(batch, self._heads, lambda _: NO_ROWS, chain, self._state_every, recorded)

    def _take_at_once(
        self, connection: Connection[Any], cursor: psycopg.Cursor[Any], rows: list[StoredRow]
    ) -> bool:
        """Puts `rows` in, as good as always; else as `_take` does, which costs half as much again."""
        try:
            with connection.transaction():
                self._copy(cursor, _COPY_AT_ONCE, rows)
            return True
        except psycopg.errors.UniqueViolation:
            return self._take(cursor, rows)

    @staticmethod
    def _copy(cursor: psycopg.Cursor[Any], statement: str, rows: list[StoredRow]) -> None:
        with cursor.copy(statement) as copy:
            copy.set_types(_TYPES)
            write = copy.write_row
            for row in rows:
                write(row)

    def _take(self, cursor: psycopg.Cursor[Any], rows: list[StoredRow]) -> bool:
        """Puts `rows` in; False, and some are missing, when an event had its row of a key already."""
        self._copy(cursor, _COPY, rows)
        return cursor.execute(_TAKE).rowcount == len(rows)

    def _without_recorded(
        self, cursor: psycopg.Cursor[Any], batch: Sequence[Delivery], chain: Link
    ) -> Verdict:
        """Takes out again what was put in, and judges with the duplicates known. The head stays locked."""
        cursor.execute("DELETE FROM rows WHERE seq > %s", (chain.seq,))
        recorded: Recorded = {(event_id, key) for event_id, key in cursor.execute(_RECORDED).fetchall()}
        cursor.execute("DELETE FROM incoming")
        self._heads.clear()
        self._load_heads(cursor, {delivery.key for delivery in batch})
        verdict = self._judge(batch, chain, recorded)
        while verdict.rows and not self._take(cursor, verdict.rows):
            raise self._target.failed("cannot commit", LookupError("rows beyond the head of the chain"))
        return verdict

    def _read_chain(self) -> Link:
        found = self._reader().execute("SELECT seq, h FROM head").fetchone()
        return Link(*found) if found else START

    def _read_tail(self, key: str) -> Tail:
        bodies = self._reader().execute(_SINCE, (key, key), binary=True).fetchall()
        return tail_of(key, [decode_delivery(body) for (body,) in bodies])

    def _read_lasts(self, keys: Sequence[str]) -> list[int]:
        found = dict(self._reader().execute(_LASTS, (list(keys),)).fetchall())
        return [found.get(key, 0) for key in keys]

    def _reader(self) -> Connection[Any]:
        if self._reading is None:
            self._reading = self._target.connect()
        return self._reading

    def _insistently(self, what: str, work: Callable[[], T]) -> T:
        """`work()`, on new connections for as long as what fails may pass."""
        deadline_ns = self._clock.monotonic_ns() + limits.POSTGRES_RETRY_S * NS_PER_S
        pause_ms = limits.POSTGRES_PAUSE_MIN_MS
        while True:
            try:
                return work()
            except psycopg.Error as error:
                self._disconnect()
                if not passes(error) or self._clock.monotonic_ns() > deadline_ns:
                    self._give_up(what, error)
            self._pause(pause_ms / 1000)
            pause_ms = min(2 * pause_ms, limits.POSTGRES_PAUSE_MAX_MS)

    def _give_up(self, what: str, error: psycopg.Error) -> NoReturn:
        raise self._target.failed(what, error) from None

    def _disconnect(self) -> None:
        for connection in (self._writing, self._reading):
            if connection is not None:
                connection.close()
        self._writing = self._reading = None
