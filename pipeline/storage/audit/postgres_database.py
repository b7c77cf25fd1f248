"""PostgreSQL as the audit's readers and tools see it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Self

import psycopg
from psycopg import Connection

from pipeline.errors import MissingError
from pipeline.storage.audit.postgres_connection import Target
from pipeline.storage.audit.postgres_schema import found_version
from pipeline.storage.audit.reader import AuditReader


class PostgresDatabase:
    """One connection beside the workers that append. A lost one is not replaced: call again."""

    has_prunes = True

    def __init__(self, connection: Connection[Any], target: Target) -> None:
        self._connection = connection
        self._target = target
        self.name = f"schema {target.schema}"

    @classmethod
    def open(cls, dsn: str, schema: str = "ringline", *, writable: bool = False) -> Self:
        """Raises MissingError when the server is away or there is no audit of a known version."""
        target = Target(dsn, schema)
        try:
            connection = target.connect()
        except psycopg.Error as error:
            raise target.failed("cannot be opened", error) from None
        try:
            if not writable:
                connection.execute("SET default_transaction_read_only = on")
            if found_version(connection, schema) is None:
                raise MissingError(f"{target}: there is none")
        except psycopg.Error as error:
            connection.close()
            raise target.failed("cannot be read", error) from None
        except BaseException:
            connection.close()
            raise
        return cls(connection, target)

    def fetch(self, query: str, parameters: Sequence[object] = ()) -> list[Any]:
        try:
            return self._run(query, parameters).fetchall()
        except psycopg.Error as error:
            raise self._target.failed("cannot be read", error) from None

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> int:
        try:
            return self._run(statement, parameters).rowcount
        except psycopg.Error as error:
            raise self._target.failed("cannot be changed", error) from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            with self._connection.transaction():
                self._connection.execute("LOCK TABLE pruned IN EXCLUSIVE MODE")
                yield
        except psycopg.Error as error:
            raise self._target.failed("cannot be changed", error) from None

    def contains(self, column: str) -> str:
        return f"position(?::bytea IN {column}) > 0"

    def close(self) -> None:
        self._connection.close()

    def _run(self, query: str, parameters: Sequence[object]) -> psycopg.Cursor[Any]:
        text = query.replace("?", "%s").encode()
        return self._connection.execute(text, parameters, binary=True)


class PostgresAuditReader(AuditReader):
    """An `AuditReader` of an audit in PostgreSQL."""

    @classmethod
    def connect(cls, dsn: str, schema: str = "ringline") -> Self:
        """Raises MissingError when the server is away or there is no audit of a known version."""
        return cls(PostgresDatabase.open(dsn, schema))
