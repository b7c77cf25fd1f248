"""The PostgreSQL schema of the audit: versioned, forward only, refused when newer than this program."""

from __future__ import annotations

from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Identifier

from pipeline.errors import MissingError

MIGRATION_LOCK = 0x52494E47
"""'RING': of the advisory lock under which one process at a time migrates."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # Keys sort by their bytes, as in every other engine, whatever the database's language.
        """CREATE TABLE rows (
            seq BIGINT PRIMARY KEY,
            key TEXT COLLATE "C" NOT NULL,
            key_seq BIGINT NOT NULL,
            event_id BYTEA NOT NULL,
            accepted_us BIGINT NOT NULL,
            outcome TEXT NOT NULL,
            stored INTEGER NOT NULL,
            h BYTEA NOT NULL,
            body BYTEA NOT NULL
        )""",
        # A body does not compress (digests, states) and is read whole.
        "ALTER TABLE rows ALTER body SET STORAGE EXTERNAL",
        "CREATE UNIQUE INDEX rows_key ON rows (key, key_seq)",
        "CREATE UNIQUE INDEX rows_event ON rows (event_id, key)",
        "CREATE INDEX rows_stored ON rows (key, key_seq) WHERE stored = 1",
        # The one row that every appender locks: whoever holds it extends the chain.
        "CREATE TABLE head (one BOOLEAN PRIMARY KEY CHECK (one), seq BIGINT NOT NULL, h BYTEA NOT NULL)",
        "INSERT INTO head VALUES (true, 0, decode(repeat('00', 32), 'hex'))",
        # What was taken out, up to which row: one signed note (see `prunes`).
        "CREATE TABLE pruned (seq BIGINT PRIMARY KEY, note TEXT NOT NULL)",
    ),
)
"""One tuple of statements a version, the first making version 1. Run with the schema as search path."""


def migrate(connection: Connection[Any], schema: str) -> None:
    """Create `schema` or bring it to this program's version, all in one transaction.

    Raises MissingError when it is no audit of ours or was made by a newer version.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        version = found_version(connection, schema)
        if version is None:
            _create(connection, schema)
            version = 0
        for number in range(version, len(MIGRATIONS)):
            for statement in MIGRATIONS[number]:
                connection.execute(SQL(statement))
            connection.execute("UPDATE ringline_audit SET version = %s", (number + 1,))


def found_version(connection: Connection[Any], schema: str) -> int | None:
    """The version of the audit in `schema`; None when there is none. Raises MissingError when it is newer."""
    table = connection.execute("SELECT to_regclass(%s)", (f'"{schema}".ringline_audit',)).fetchone()
    if table is None or table[0] is None:
        return None
    query = SQL("SELECT version FROM {}.ringline_audit").format(Identifier(schema))
    row = connection.execute(query).fetchone()
    version = int(row[0]) if row else 0
    if version > len(MIGRATIONS):
        raise MissingError(
            f"audit schema {schema}: has version {version}, this program knows up to {len(MIGRATIONS)}: "
            "start the newer version"
        )
    return version


def _create(connection: Connection[Any], schema: str) -> None:
    tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = %s", (schema,)).fetchone()
    if tables and tables[0]:
        raise MissingError(f"audit schema {schema}: has tables in it, but no audit of Ringline")
    connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(schema)))
    connection.execute("CREATE TABLE ringline_audit (version INTEGER NOT NULL)")
    connection.execute("INSERT INTO ringline_audit VALUES (0)")
