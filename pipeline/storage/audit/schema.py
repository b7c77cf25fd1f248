"""The SQLite schema of the audit: versioned, forward only, refused when newer than this program."""

from __future__ import annotations

import sqlite3

from pipeline.errors import MissingError

APPLICATION_ID = 0x52494E47
"""'RING': tells an audit from any other SQLite file."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # `body` is the row; the other columns repeat what is asked for, and `verify` compares them.
        """CREATE TABLE rows (
            seq INTEGER PRIMARY KEY,
            key TEXT NOT NULL,
            key_seq INTEGER NOT NULL,
            event_id BLOB NOT NULL,
            accepted_us INTEGER NOT NULL,
            outcome TEXT NOT NULL,
            stored INTEGER NOT NULL,
            h BLOB NOT NULL,
            body BLOB NOT NULL
        ) STRICT""",
        "CREATE UNIQUE INDEX rows_key ON rows (key, key_seq)",
        "CREATE UNIQUE INDEX rows_event ON rows (event_id, key)",
        "CREATE INDEX rows_stored ON rows (key, key_seq) WHERE stored",
    ),
    (
        # What was taken out, up to which row: one signed note (see `prunes`).
        "CREATE TABLE pruned (seq INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT",
    ),
)
"""One tuple of statements a version, the first making version 1."""


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the schema to this program's version, one transaction a step.

    Raises MissingError when the file is no audit of ours or was made by a newer version.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (tables or version):
        raise MissingError(f"audit {path}: is an SQLite file, but no audit of Ringline")
    check_version(version, path)
    if application != APPLICATION_ID:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for number in range(version, len(MIGRATIONS)):
        connection.execute("BEGIN IMMEDIATE")
        for statement in MIGRATIONS[number]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")


def check_version(version: int, path: str) -> None:
    """Raise MissingError when a newer program made the file."""
    if version > len(MIGRATIONS):
        raise MissingError(
            f"audit {path}: has schema version {version}, this program knows up to {len(MIGRATIONS)}: "
            "start the newer version"
        )
