"""The valuation in PostgreSQL: a schema of its own; a lost connection is made anew at the next call."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import psycopg
from psycopg import Connection
from psycopg.sql import SQL, Identifier

from pipeline import valuation_limits
from pipeline.storage.valuation.store import (
    ChangedMeanwhileError,
    NavRow,
    Snapshot,
    StoreAwayError,
    StoredDomain,
)

_TABLES = """
CREATE TABLE IF NOT EXISTS domains (name text PRIMARY KEY, version bigint NOT NULL, body bytea NOT NULL);
CREATE TABLE IF NOT EXISTS nav (domain text, at_us bigint, body bytea NOT NULL, PRIMARY KEY (domain, at_us));
CREATE TABLE IF NOT EXISTS head (one int PRIMARY KEY CHECK (one = 1), at_us bigint NOT NULL,
    body bytea NOT NULL);
CREATE TABLE IF NOT EXISTS symbols (symbol text PRIMARY KEY, body bytea NOT NULL);
"""
_SETUP_LOCK = 0x52_4C_56_41
"""Of two that create the tables together, one waits: IF NOT EXISTS alone is no protection."""


class PostgresValuationStore:
    """A `ValuationStore`."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._dsn = dsn
        self._schema = schema
        self._connection: Connection[Any] | None = None
        self._given_up = False

    @classmethod
    def open(cls, dsn: str, schema: str) -> Self:
        """Makes the schema unless it is there. Raises StoreAwayError."""
        store = cls(dsn, schema)
        with store._transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SETUP_LOCK,))
            connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(schema)))
            connection.execute(_TABLES)
        return store

    def domains(self) -> dict[str, StoredDomain]:
        with self._transaction() as connection:
            rows = connection.execute("SELECT name, version, body FROM domains").fetchall()
        return {name: StoredDomain(version, body) for name, version, body in rows}

    def put_domain(self, name: str, version: int, body: bytes) -> None:
        insert = "INSERT INTO domains VALUES (%s, 1, %s) ON CONFLICT DO NOTHING"
        update = "UPDATE domains SET body = %s, version = version + 1 WHERE name = %s AND version = %s"
        with self._transaction() as connection:
            if version == 1:
                done = connection.execute(insert, (name, body))
            else:
                done = connection.execute(update, (body, name, version - 1))
            self._expect_one(done.rowcount, name)

    def delete_domain(self, name: str, version: int) -> None:
        with self._transaction() as connection:
            done = connection.execute("DELETE FROM domains WHERE name = %s AND version = %s", (name, version))
            self._expect_one(done.rowcount, name)
            connection.execute("DELETE FROM nav WHERE domain = %s", (name,))

    def append_nav(self, rows: Sequence[NavRow], keep_since_us: int) -> None:
        with self._transaction() as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO nav VALUES (%s, %s, %s)"
                " ON CONFLICT (domain, at_us) DO UPDATE SET body = EXCLUDED.body",
                rows,
            )
            names = sorted({row.domain for row in rows})
            cursor.execute("DELETE FROM nav WHERE domain = ANY(%s) AND at_us < %s", (names, keep_since_us))

    def nav(self, domain: str, since_us: int, until_us: int, limit: int) -> list[NavRow]:
        query = """SELECT domain, at_us, body FROM nav WHERE domain = %s AND at_us >= %s AND at_us < %s
            ORDER BY at_us LIMIT %s"""
        with self._transaction() as connection:
            rows = connection.execute(query, (domain, since_us, until_us, limit)).fetchall()
        return [NavRow(*row) for row in rows]

    def put_snapshot(self, at_us: int, head: bytes, symbols: Mapping[str, bytes], *, clear: bool) -> None:
        with self._transaction() as connection, connection.cursor() as cursor:
            if clear:
                cursor.execute("DELETE FROM symbols")
            cursor.executemany(
                "INSERT INTO symbols VALUES (%s, %s) ON CONFLICT (symbol) DO UPDATE SET body = EXCLUDED.body",
                sorted(symbols.items()),
            )
            cursor.execute(
                "INSERT INTO head VALUES (1, %s, %s)"
                " ON CONFLICT (one) DO UPDATE SET at_us = EXCLUDED.at_us, body = EXCLUDED.body",
                (at_us, head),
            )

    def snapshot(self) -> Snapshot | None:
        with self._transaction() as connection:
            head = connection.execute("SELECT at_us, body FROM head").fetchone()
            symbols = dict(connection.execute("SELECT symbol, body FROM symbols").fetchall())
        return Snapshot(head[0], head[1], symbols) if head else None

    def give_up(self) -> None:
        self._given_up = True
        connection = self._connection
        with contextlib.suppress(psycopg.Error, OSError):
            if connection is not None:
                # Of a copy of its descriptor: whoever waits in libpq wakes, and nobody's file is closed.
                with socket.socket(fileno=os.dup(connection.fileno())) as wire:
                    wire.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @staticmethod
    def _expect_one(changed: int, name: str) -> None:
        if changed != 1:
            raise ChangedMeanwhileError(f"domain {name}: was changed by somebody else meanwhile")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection[Any]]:
        try:
            if self._connection is not None and (self._connection.closed or self._given_up):
                self.close()
            self._given_up = False
            if self._connection is None:
                self._connect()
            assert self._connection is not None
            with self._connection.transaction():
                # Sees one instant also where it reads twice.
                self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                yield self._connection
        except psycopg.errors.SerializationFailure:
            raise ChangedMeanwhileError("valuation: was changed by somebody else meanwhile") from None
        except psycopg.Error as error:
            self.close()
            raise self._failed(error) from None

    def _connect(self) -> None:
        connection: Connection[Any] = psycopg.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=valuation_limits.VALUATION_STORE_S,
            application_name="ringline-valuation",
            tcp_user_timeout=valuation_limits.VALUATION_STORE_S * 1000,
        )
        self._connection = connection
        if self._given_up:  # while there was none that could be cut
            raise psycopg.OperationalError("it took too long to connect")
        try:
            connection.execute(SQL("SET search_path = {}").format(Identifier(self._schema)))
            timeout = f"{valuation_limits.VALUATION_STORE_S}s"
            for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
                connection.execute("SELECT set_config(%s, %s, false)", (setting, timeout))
        except BaseException:
            self.close()
            raise

    def _failed(self, error: Exception) -> StoreAwayError:
        """Never with the DSN's password: where it can be found in the text, the text is left out."""
        text = " ".join(str(error).split()) or type(error).__name__
        with contextlib.suppress(psycopg.Error):
            password = psycopg.conninfo.conninfo_to_dict(self._dsn).get("password")
            if password and str(password) in text:
                text = type(error).__name__
        return StoreAwayError(f"valuation schema {self._schema}: {text}")
